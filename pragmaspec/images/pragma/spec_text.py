"""Entries put into the text of a spec; everything else in it, comments and order too, stays as it was written."""

import re
from collections.abc import Mapping, Sequence

from pragmaspec.errors import Problem, SpecError
from pragmaspec.spec.reading import read_document
from pragmaspec.spec.tree import Mapping as TreeMapping

_INDENT = 2


def with_entries(text: str, section: str, entries: Mapping[str, Sequence[str]], file: str) -> str:
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
        raise SpecError(Problem(summary="Name is taken", detail=detail, where=where))
    added = _added(text.splitlines(), section, entries)
    if added is None:
        detail = f"Write `{section}:` on a line of its own with its entries indented below, then import again."
        raise SpecError(Problem(summary=f"Unusual `{section}`", detail=detail, where=document.where((section,))))
    changed = "\n".join(added) + "\n"
    found = read_document(changed.encode(), file).root.items.get(section)
    names = set(before.items) if isinstance(before, TreeMapping) else set()
    if not isinstance(found, TreeMapping) or set(found.items) != names | set(entries):
        detail = "The spec is written in a way that nothing can be put into. Add the entries by hand: see `list repository`."
        raise SpecError(Problem(summary="Spec cannot be changed", detail=detail))
    return changed


def _added(lines: list[str], section: str, entries: Mapping[str, Sequence[str]]) -> list[str] | None:
    for number, line in enumerate(lines):
        if re.fullmatch(rf"{section}:[ ]*(\{{[ ]*\}}|null|~)?[ ]*(#.*)?", line):
            head = re.sub(r"^(\w+:)[ ]*(\{[ ]*\}|null|~)", r"\1", line)
            end, indent = _block(lines, number)
            return [*lines[:number], head, *lines[number + 1 : end], *_written(entries, indent), *lines[end:]]
        if re.match(rf"[\"']?{section}[\"']?[ ]*:", line):
            return None
    gap = [""] if lines and lines[-1].strip() else []
    return [*lines, *gap, f"{section}:", *_written(entries, _INDENT)]


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
