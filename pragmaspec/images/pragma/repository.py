"""A PRAGMA repository: a folder with an index, an XML for each cluster, disks beside it.

The index of a PRAGMA repository: ``vcdb.txt`` with lines ``name,relative/path.xml``, in older ones ``vcdb.json``, an object.

One bad entry does not spoil the others: it is left out, with the reason.

Files of a repository by their relative paths: its folders are opened when they are first needed.
"""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from pragmaspec.errors import ImageError, Problem
from pragmaspec.frozen import Frozen
from pragmaspec.images.context import ImageContext
from pragmaspec.images.pragma.vc_in import Appliance, read_vc_in
from pragmaspec.images.transfer.folders import Folder, open_folder
from pragmaspec.net.urls import is_remote, redact_url

INDEXES = ("vcdb.txt", "vcdb.json")
_PATH = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_SHOWN = 80


class SkippedEntry(Frozen, frozen=True):
    """An entry that cannot be used. ``name``: of its cluster, or where it stands when it has no sound name of its own."""

    name: str
    why: str


class RepositoryIndex(Frozen, frozen=True):
    """The relative path of each cluster's XML, by name, in the order of the index; ``left_out``: the entries that are wrong."""

    paths: dict[str, str]
    skipped: tuple[SkippedEntry, ...] = ()


class _Entry(Frozen, frozen=True):
    """``where``: file, and line where there is one; ``text``: as it was written."""

    where: str
    text: str
    name: str
    path: str


def read_index(content: bytes, file: str) -> RepositoryIndex:
    """What the index ``file`` says. Raises ImageError when it is none at all: nothing in it can be used."""
    text = content.decode(errors="replace")
    paths: dict[str, str] = {}
    places: dict[str, str] = {}
    left_out: dict[str, SkippedEntry] = {}
    for entry in _in_json(text, file) if file.endswith(".json") else _in_lines(text, file):
        why = _against(entry)
        if why:
            name = entry.name if _NAME.fullmatch(entry.name) and entry.name not in paths else entry.where
            left_out[name] = SkippedEntry(name=name, why=why)
        elif paths.setdefault(entry.name, entry.path) != entry.path:
            both = f"{places[entry.name]} and {entry.where} name {entry.name} with two paths, so nobody knows which is meant"
            left_out[entry.name] = SkippedEntry(name=entry.name, why=both)
        places.setdefault(entry.name, entry.where)
    sound = {name: path for name, path in paths.items() if name not in left_out}
    if left_out and not sound:
        raise repository_error(*(each.why for each in left_out.values()))
    return RepositoryIndex(paths=sound, skipped=tuple(left_out.values()))


def repository_error(*reasons: str) -> ImageError:
    """The error for a repository, or one of its clusters, that cannot be used."""
    return ImageError.of(Problem(summary="Repository cannot be used", detail=f"{why}.") for why in reasons)


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
        raise repository_error(f"{file} cannot be read: {error}") from None
    if not isinstance(said, dict):
        raise repository_error(f"{file} has to be an object of names and relative paths")
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


ReadSmall = Callable[[str], bytes | None]
"""Gives a short file of the repository by its relative path; None when it is not there. Raises ImageError."""


class ListedCluster(Frozen, frozen=True):
    """A cluster of a repository; ``trouble`` says why it cannot be used."""

    name: str
    path: str
    appliance: Appliance | None = None
    trouble: str = ""


class PragmaRepository:
    """The clusters of the repository at ``address``, whose short files ``small`` gives."""

    def __init__(self, address: str, small: ReadSmall) -> None:
        self.address = redact_url(address) if is_remote(address) else address
        self._small = small
        self._index: RepositoryIndex | None = None

    def paths(self) -> dict[str, str]:
        """Relative path of the XML of each cluster, by name, in the order of the index. Raises ImageError."""
        return self._read().paths

    def appliance(self, name: str) -> Appliance:
        """One cluster. Raises ImageError when it is not there or cannot be used."""
        paths = self.paths()
        if name not in paths:
            left_out = next((one.why for one in self._read().skipped if one.name == name), "")
            raise repository_error(left_out or f"{self.address} has no cluster {name}; it has {', '.join(paths) or 'none'}")
        document = self._small(paths[name])
        if document is None:
            raise repository_error(f"{self.address} lists {paths[name]}, and it is not there")
        return read_vc_in(document, name)

    def listed(self) -> tuple[ListedCluster, ...]:
        """All that the index has, also what cannot be used: a cluster without a disk to start from, an entry that is none."""
        found = []
        for name, path in self.paths().items():
            try:
                appliance = self.appliance(name)
                appliance.disk("frontend")
            except ImageError as error:
                found.append(ListedCluster(name=name, path=path, trouble=" ".join(problem.detail for problem in error.problems)))
            else:
                found.append(ListedCluster(name=name, path=path, appliance=appliance))
        return (*found, *(ListedCluster(name=one.name, path="", trouble=f"{one.why}.") for one in self._read().skipped))

    def _read(self) -> RepositoryIndex:
        if self._index is None:
            for file in INDEXES:
                content = self._small(file)
                if content is not None:
                    self._index = read_index(content, file)
                    break
            else:
                raise repository_error(f"{self.address} has neither {' nor '.join(INDEXES)}, so it is not a repository")
        return self._index


def repository_folder(address: str) -> str:
    """The folder of a repository that was named by itself or by its index."""
    base, mark, query = address.partition("?")
    for index in INDEXES:
        if base == index or base.endswith(f"/{index}"):
            base = base[: -len(index)] or "."
    return f"{base}{mark}{query}"


class RepositoryFiles:
    """The repository in the folder at ``address``."""

    def __init__(self, address: str, workshop: ImageContext) -> None:
        self._address = address
        self._workshop = workshop
        self._folders: dict[str, Folder] = {}

    def small(self, path: str) -> bytes | None:
        """A short file whole; None when it is not there. Raises ImageError."""
        folder, name = self._folder(path)
        return folder.small(name)

    def fetch(self, path: str, part: Path) -> None:
        """Bring a file to ``part``, continuing what was begun there. Raises ImageError."""
        folder, name = self._folder(path)
        folder.fetch(name, part)

    def _folder(self, path: str) -> tuple[Folder, str]:
        below, _, name = path.rpartition("/")
        if below not in self._folders:
            base, mark, query = self._address.partition("?")
            address = f"{base.rstrip('/')}/{below}" if below else base
            self._folders[below] = open_folder(f"{address}{mark}{query}", self._workshop)
        return self._folders[below], name
