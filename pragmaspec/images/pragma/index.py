"""The index of a PRAGMA repository: ``vcdb.txt`` with lines ``name,relative/path.xml``, in older ones ``vcdb.json``, an object.

One bad entry does not spoil the others: it is left out, with the reason.
"""

import json
import re
from collections.abc import Iterator

from pragmaspec.errors import ImageError, Problem
from pragmaspec.frozen import Frozen

INDEXES = ("vcdb.txt", "vcdb.json")
_PATH = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_SHOWN = 80


class LeftOut(Frozen, frozen=True):
    """An entry that cannot be used. ``name``: of its cluster, or where it stands when it has no sound name of its own."""

    name: str
    why: str


class Index(Frozen, frozen=True):
    """The relative path of each cluster's XML, by name, in the order of the index; ``left_out``: the entries that are wrong."""

    paths: dict[str, str]
    left_out: tuple[LeftOut, ...] = ()


class _Entry(Frozen, frozen=True):
    """``where``: file, and line where there is one; ``text``: as it was written."""

    where: str
    text: str
    name: str
    path: str


def read_index(content: bytes, file: str) -> Index:
    """What the index ``file`` says. Raises ImageError when it is none at all: nothing in it can be used."""
    text = content.decode(errors="replace")
    paths: dict[str, str] = {}
    places: dict[str, str] = {}
    left_out: dict[str, LeftOut] = {}
    for entry in _in_json(text, file) if file.endswith(".json") else _in_lines(text, file):
        why = _against(entry)
        if why:
            name = entry.name if _NAME.fullmatch(entry.name) and entry.name not in paths else entry.where
            left_out[name] = LeftOut(name=name, why=why)
        elif paths.setdefault(entry.name, entry.path) != entry.path:
            both = f"{places[entry.name]} and {entry.where} name {entry.name} with two paths, so nobody knows which is meant"
            left_out[entry.name] = LeftOut(name=entry.name, why=both)
        places.setdefault(entry.name, entry.where)
    sound = {name: path for name, path in paths.items() if name not in left_out}
    if left_out and not sound:
        raise no_repository(*(each.why for each in left_out.values()))
    return Index(paths=sound, left_out=tuple(left_out.values()))


def no_repository(*reasons: str) -> ImageError:
    """The error for a repository, or one of its clusters, that cannot be used."""
    return ImageError(*(Problem(summary="Repository cannot be used", detail=f"{why}.") for why in reasons))


def _in_lines(text: str, file: str) -> Iterator[_Entry]:
    for number, written in enumerate(text.splitlines(), start=1):
        line = written.strip()
        if line and line[0] != "#":
            name, _, path = line.partition(",")
            yield _Entry(where=f"{file}:{number}", text=line, name=name.strip(), path=path.strip())


def _in_json(text: str, file: str) -> Iterator[_Entry]:
    try:
        said = json.loads(text)
    except ValueError as error:
        raise no_repository(f"{file} cannot be read: {error}") from None
    if not isinstance(said, dict):
        raise no_repository(f"{file} has to be an object of names and relative paths")
    for name, path in said.items():
        yield _Entry(where=f"{file}, {name[:_SHOWN]!r}", text=f"{name},{path}", name=name, path=str(path))


def _against(entry: _Entry) -> str:
    """Why the entry cannot be used; empty when it can."""
    if _NAME.fullmatch(entry.name) and _PATH.fullmatch(entry.path):
        return ""
    shown = repr(entry.text[:_SHOWN])
    if entry.path.startswith("/") or ".." in entry.path.split("/"):
        return f"{entry.where}: {shown} leads out of the repository"
    return f"{entry.where}: {shown} is not a name and a relative path"
