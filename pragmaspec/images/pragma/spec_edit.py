"""Entries put into the text of a spec; everything else in it, comments and order too, stays as it was written."""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from pragmaspec.errors import SpecError
from pragmaspec.spec.yaml.parser import read_document
from pragmaspec.spec.yaml.tree import Mapping as TreeMapping

_INDENT = 2
_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")


def insert_entries(text: str, section: str, entries: Mapping[str, Sequence[str]], file: str) -> str:
    """``text`` with ``entries`` at the end of its top-level mapping ``section``, which is made when it is not there.

    An entry is the lines below its name, indented from 0. Raises SpecError when the spec is not sound YAML, already has one of
    the names, or holds the section in a form that cannot be added to.
    """
    document = read_document(text.encode(), file)
    before = document.root.items.get(section)
    taken = [name for name in entries if isinstance(before, TreeMapping) and name in before.items]
    if taken:
        where = document.where((section, taken[0]))
        detail = (
            f"{section} has {', '.join(taken)} already. Remove what is there, or import one cluster under another name, with "
            "--as NAME."
        )
        raise SpecError("Name is taken", detail, where=where)
    end = "\r\n" if text.count("\r\n") * 2 > text.count("\n") else "\n"
    lines = _LINE.findall(text)
    place = _place([line.rstrip("\r\n") for line in lines], section)
    if place is None:
        detail = f"Write `{section}:` on a line of its own with its entries indented below, then import again."
        raise SpecError(f"Unusual `{section}`", detail, where=document.where((section,)))
    changed = _inserted(lines, place, section, entries, end)
    try:
        found = read_document(changed.encode(), file).root.items.get(section)
    except SpecError:
        found = None  # the lines that it names are in no file
    names = set(before.items) if isinstance(before, TreeMapping) else set()
    if not isinstance(found, TreeMapping) or set(found.items) != names | set(entries):
        detail = (
            "The spec is written in braces, or in another way into which no lines can be put. Write its sections as blocks, each "
            "on a line of its own with its entries indented below, then import again."
        )
        where = document.where((section,) if before is not None else ())
        raise SpecError("Spec cannot be changed", detail, where=where)
    return changed


class _Place(NamedTuple):
    """Before which line entries go, how far they are indented, and the line of the section as it has to be: None without one."""

    before: int
    indent: int
    head: tuple[int, str] | None


def _place(lines: list[str], section: str) -> _Place | None:
    key = rf"[\"']?{section}[\"']?[ ]*:"
    for number, line in enumerate(lines):
        if re.fullmatch(rf"{key}([ \t]+&\S+)?[ \t]*(\{{[ ]*\}}|null|~)?[ \t]*(#.*)?", line):
            head = re.sub(rf"^({key}(?:[ \t]+&\S+)?)[ \t]*(\{{[ ]*\}}|null|~)", r"\1", line)
            end, indent = _block(lines, number)
            return _Place(end, indent, (number, head))
        if re.match(key, line):
            return None
    return _Place(len(lines), _INDENT, None)


def _inserted(lines: list[str], place: _Place, section: str, entries: Mapping[str, Sequence[str]], end: str) -> str:
    """The text of ``lines``, which keep their ends, with ``entries``, whose lines have ``end``."""
    found, added = list(lines), _written(entries, place.indent)
    if place.head is None:
        gap = [""] if lines and lines[-1].strip() else []
        added = [*gap, f"{section}:", *added]
    else:
        number, head = place.head
        found[number] = head + lines[number][len(lines[number].rstrip("\r\n")) :]
    whole = not lines or lines[-1].endswith(("\n", "\r"))
    if place.before == len(lines) and not whole:
        found[-1] += end
    text = "".join((*found[: place.before], *(line + end for line in added), *found[place.before :]))
    return text if whole else text.removesuffix(end)


def _block(lines: list[str], head: int) -> tuple[int, int]:
    """The line after the last one of the block below ``head``, and by how much its entries are indented."""
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


def _written(entries: Mapping[str, Sequence[str]], indent: int) -> list[str]:
    outer, inner = " " * indent, " " * (indent + _INDENT)
    found = []
    for name, lines in entries.items():
        found.append(f"{outer}{name}:")
        found += [f"{inner}{line}" for line in lines]
    return found
