"""A PRAGMA repository: a folder with an index, an XML file per cluster, and disks.

The index is ``vcdb.txt`` with lines ``name,relative/path.xml``, or in older repositories ``vcdb.json``, an object. An invalid
entry does not affect the others: it is skipped, with the reason.
"""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from pragmaspec.errors import ImageError, Problem
from pragmaspec.frozen import Frozen
from pragmaspec.images.context import ImageContext
from pragmaspec.images.pragma.vc_in import Appliance, read_vc_in
from pragmaspec.images.transfer.folders import Folder
from pragmaspec.images.transfer.locations import open_folder
from pragmaspec.net.urls import is_remote, redact_url
from pragmaspec.text import few

INDEXES = ("vcdb.txt", "vcdb.json")
_PATH = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_SHOWN_CHARACTERS = 80
_SHOWN_NAMES = 20


class SkippedEntry(Frozen, frozen=True):
    """An unusable entry of an index. ``name`` is that of the cluster, or the position of the entry if the name is invalid."""

    name: str
    reason: str


class RepositoryIndex(Frozen, frozen=True):
    """The relative path of each cluster's XML by name, in the order of the index, and the unusable entries."""

    paths: dict[str, str]
    skipped: tuple[SkippedEntry, ...] = ()


class _IndexEntry(Frozen, frozen=True):
    """``where``: file and position; ``text``: the entry as written."""

    where: str
    text: str
    name: str
    path: str


def read_index(content: bytes, file: str) -> RepositoryIndex:
    """Parse the index ``file``. Raises ImageError if it has entries but no usable one."""
    text = content.decode(errors="replace")
    paths: dict[str, str] = {}
    positions: dict[str, str] = {}
    skipped: dict[str, SkippedEntry] = {}
    for entry in _json_entries(text, file) if file.endswith(".json") else _line_entries(text, file):
        reason = _entry_problem(entry)
        if reason:
            name = entry.name if _NAME.fullmatch(entry.name) and entry.name not in paths else entry.where
            skipped[name] = SkippedEntry(name=name, reason=reason)
        elif paths.setdefault(entry.name, entry.path) != entry.path:
            reason = f"{positions[entry.name]} and {entry.where} have different paths for {entry.name}"
            skipped[entry.name] = SkippedEntry(name=entry.name, reason=reason)
        positions.setdefault(entry.name, entry.where)
    usable = {name: path for name, path in paths.items() if name not in skipped}
    if skipped and not usable:
        raise repository_error(*(entry.reason for entry in skipped.values()))
    return RepositoryIndex(paths=usable, skipped=tuple(skipped.values()))


def repository_error(*reasons: str) -> ImageError:
    """Return the error for an unusable repository or cluster; ``reasons`` are clauses."""
    return ImageError.of(Problem(summary="Repository cannot be used", detail=f"{reason}.") for reason in reasons)


def _line_entries(text: str, file: str) -> Iterator[_IndexEntry]:
    for number, line in enumerate(map(str.strip, text.splitlines()), start=1):
        if line and line[0] != "#":
            name, _, path = line.partition(",")
            yield _IndexEntry(where=f"{file}:{number}", text=line, name=name.strip(), path=path.strip())


def _json_entries(text: str, file: str) -> Iterator[_IndexEntry]:
    try:
        content = json.loads(text)
    except ValueError as error:
        raise repository_error(f"{file} cannot be read: {error}") from None
    if not isinstance(content, dict):
        raise repository_error(f"{file} must be an object with names and relative paths")
    for name, path in content.items():
        yield _IndexEntry(where=f"{file}, {name[:_SHOWN_CHARACTERS]!r}", text=f"{name},{path}", name=name, path=str(path))


def _entry_problem(entry: _IndexEntry) -> str:
    """Return the reason why the entry is unusable, empty if it is usable."""
    if _NAME.fullmatch(entry.name) and _PATH.fullmatch(entry.path):
        return ""
    shown = repr(entry.text[:_SHOWN_CHARACTERS])
    if entry.path.startswith("/") or ".." in entry.path.split("/"):
        return f"{entry.where}: {shown} is outside of the repository"
    return f"{entry.where}: {shown} is not a name and a relative path"


ReadSmall = Callable[[str], bytes | None]
"""Returns the content of a small file of the repository by its relative path, None if it does not exist. Raises ImageError."""


class ListedCluster(Frozen, frozen=True):
    """A cluster in the index of a repository; ``trouble`` is the reason if it is unusable."""

    name: str
    path: str
    appliance: Appliance | None = None
    trouble: str = ""


class PragmaRepository:
    """The clusters of the repository at ``address``; ``read_small`` reads its small files."""

    def __init__(self, address: str, read_small: ReadSmall) -> None:
        self.address = redact_url(address) if is_remote(address) else address
        self._read_small = read_small
        self._cached_index: RepositoryIndex | None = None

    def paths(self) -> dict[str, str]:
        """Return the relative path of each cluster's XML by name, in the order of the index. Raises ImageError."""
        return self._index().paths

    def appliance(self, name: str) -> Appliance:
        """Return a cluster. Raises ImageError if it does not exist or is unusable."""
        paths = self.paths()
        if name not in paths:
            skipped = next((entry.reason for entry in self._index().skipped if entry.name == name), "")
            known = few(list(paths), _SHOWN_NAMES)
            raise repository_error(skipped or f"{self.address} has no cluster {name}; its clusters: {known}")
        document = self._read_small(paths[name])
        if document is None:
            raise repository_error(f"{self.address} lists {paths[name]}, which does not exist")
        return read_vc_in(document, name)

    def listed(self) -> tuple[ListedCluster, ...]:
        """Return every entry of the index, also the unusable ones. Raises ImageError."""
        clusters = []
        for name, path in self.paths().items():
            try:
                appliance = self.appliance(name)
                appliance.disk("frontend")
            except ImageError as error:
                trouble = " ".join(problem.detail for problem in error.problems)
                clusters.append(ListedCluster(name=name, path=path, trouble=trouble))
            else:
                clusters.append(ListedCluster(name=name, path=path, appliance=appliance))
        skipped = (ListedCluster(name=entry.name, path="", trouble=f"{entry.reason}.") for entry in self._index().skipped)
        return (*clusters, *skipped)

    def _index(self) -> RepositoryIndex:
        if self._cached_index is None:
            self._cached_index = self._read_index()
        return self._cached_index

    def _read_index(self) -> RepositoryIndex:
        for file in INDEXES:
            content = self._read_small(file)
            if content is not None:
                return read_index(content, file)
        raise repository_error(f"{self.address} has neither {' nor '.join(INDEXES)}, so it is not a repository")


def repository_folder(address: str) -> str:
    """Return the folder of a repository whose own address or that of its index is given."""
    base, mark, query = address.partition("?")
    for index in INDEXES:
        if base == index or base.endswith(f"/{index}"):
            base = base[: -len(index)] or "."
    return f"{base}{mark}{query}"


class RepositoryFiles:
    """Files of the repository at ``address``, by relative paths. Its subfolders are opened on first use."""

    def __init__(self, address: str, context: ImageContext) -> None:
        self._address = address
        self._context = context
        self._folders: dict[str, Folder] = {}

    def read_small(self, path: str) -> bytes | None:
        """Return the content of a small file; None if it does not exist. Raises ImageError."""
        folder, name = self._folder(path)
        return folder.read_small(name)

    def fetch(self, path: str, part: Path) -> None:
        """Copy a file to ``part``, resuming an earlier download. Raises ImageError."""
        folder, name = self._folder(path)
        folder.fetch(name, part)

    def local_path(self, path: str) -> Path | None:
        """Return the path of a file of a local repository; None if the repository is remote."""
        return None if is_remote(self._address) else Path(self._address) / path

    def _folder(self, path: str) -> tuple[Folder, str]:
        subfolder, _, name = path.rpartition("/")
        if subfolder not in self._folders:
            base, mark, query = self._address.partition("?")
            address = f"{base.rstrip('/')}/{subfolder}" if subfolder else base
            self._folders[subfolder] = open_folder(f"{address}{mark}{query}", self._context)
        return self._folders[subfolder], name
