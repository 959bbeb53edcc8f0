"""Insertion of entries into the text of a spec, which otherwise stays as written, with its comments and order."""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from pragmaspec.errors import SpecError
from pragmaspec.spec.yaml.parser import read_document
from pragmaspec.spec.yaml.tree import Mapping as TreeMapping

_INDENT = 2
_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")


def insert_entries(text: str, section: str, entries: Mapping[str, Sequence[str]], file: str) -> str:
    """Return ``text`` with ``entries`` at the end of its top-level mapping ``section``, which is created if necessary.

    An entry is the lines below its name, with their indentation relative to it. Raises SpecError if the spec is not valid YAML,
    already has one of the names, or has the section in a form that does not allow insertion.
    """
    document = read_document(text.encode(), file)
    existing = document.root.items.get(section)
    taken = [name for name in entries if isinstance(existing, TreeMapping) and name in existing.items]
    if taken:
        raise SpecError(
            "Name is taken",
            f"{section} already has {', '.join(taken)}. Remove it, or import one cluster under another name, with --as NAME.",
            where=document.where((section, taken[0])),
        )
    line_end = "\r\n" if text.count("\r\n") * 2 > text.count("\n") else "\n"
    lines = _LINE.findall(text)
    place = _find_place([line.rstrip("\r\n") for line in lines], section)
    if place is None:
        raise SpecError(
            f"Unusual `{section}`",
            f"Write `{section}:` on a separate line, with its entries indented below, then import again.",
            where=document.where((section,)),
        )
    changed = _insert(lines, place, section, entries, line_end)
    if _section_names(changed, section, file) != _names(existing) | set(entries):
        raise SpecError(
            "Spec cannot be changed",
            "The spec is written in braces, or in another way that does not allow inserting lines. Write its sections as blocks, "
            "each on a separate line with its entries indented below, then import again.",
            where=document.where((section,) if existing is not None else ()),
        )
    return changed


def _section_names(text: str, section: str, file: str) -> set[str] | None:
    """Return the names in a section of the changed spec; None if it is not valid, since its lines are in no file."""
    try:
        tree = read_document(text.encode(), file).root.items.get(section)
    except SpecError:
        return None
    return _names(tree) if isinstance(tree, TreeMapping) else None


def _names(section: object) -> set[str]:
    return set(section.items) if isinstance(section, TreeMapping) else set()


class _Place(NamedTuple):
    """The line before which to insert entries, their indentation, and the number and new text of the section's line, if any."""

    before: int
    indent: int
    head: tuple[int, str] | None


def _find_place(lines: list[str], section: str) -> _Place | None:
    key = rf"[\"']?{section}[\"']?[ ]*:"
    for number, line in enumerate(lines):
        if re.fullmatch(rf"{key}([ \t]+&\S+)?[ \t]*(\{{[ ]*\}}|null|~)?[ \t]*(#.*)?", line):
            head = re.sub(rf"^({key}(?:[ \t]+&\S+)?)[ \t]*(\{{[ ]*\}}|null|~)", r"\1", line)
            end, indent = _block(lines, number)
            return _Place(end, indent, (number, head))
        if re.match(key, line):
            return None
    return _Place(len(lines), _INDENT, None)


def _insert(lines: list[str], place: _Place, section: str, entries: Mapping[str, Sequence[str]], line_end: str) -> str:
    """Return the text of ``lines``, which include their ends, with ``entries``, whose lines get ``line_end``."""
    result, added = list(lines), _format(entries, place.indent)
    if place.head is None:
        gap = [""] if lines and lines[-1].strip() else []
        added = [*gap, f"{section}:", *added]
    else:
        number, head = place.head
        result[number] = head + lines[number][len(lines[number].rstrip("\r\n")) :]
    is_terminated = not lines or lines[-1].endswith(("\n", "\r"))
    if place.before == len(lines) and not is_terminated:
        result[-1] += line_end
    text = "".join((*result[: place.before], *(line + line_end for line in added), *result[place.before :]))
    return text if is_terminated else text.removesuffix(line_end)


def _block(lines: list[str], head: int) -> tuple[int, int]:
    """Return the number of the line after the block below line ``head``, and the indentation of its entries."""
    end, indent = head + 1, 0
    for number in range(head + 1, len(lines)):
        line = lines[number]
        if not line.strip() or (line.lstrip().startswith("#") and not line.startswith(" ")):
            continue
        depth = len(line) - len(line.lstrip(" "))
        if depth == 0:
            break
        if not line.lstrip().startswith("#"):
            indent = indent or depth
        end = number + 1
    return end, indent or _INDENT


def _format(entries: Mapping[str, Sequence[str]], indent: int) -> list[str]:
    outer, inner = " " * indent, " " * (indent + _INDENT)
    lines = []
    for name, body in entries.items():
        lines += [f"{outer}{name}:", *(f"{inner}{line}" for line in body)]
    return lines
