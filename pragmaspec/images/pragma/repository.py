"""A PRAGMA repository: a folder with ``vcdb.txt`` (lines ``name,relative/path.xml``), an XML for each cluster, disks beside it.

Older repositories have ``vcdb.json``, an object of the same names and paths.
"""

import json
import re
from collections.abc import Callable

from pragmaspec.errors import ImageError, Problem
from pragmaspec.frozen import Frozen
from pragmaspec.images.pragma.vc_in import Appliance, read_vc_in

INDEXES = ("vcdb.txt", "vcdb.json")
_PATH = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
Small = Callable[[str], bytes | None]
"""Gives a short file of the repository by its relative path; None when it is not there. Raises ImageError."""


class Listed(Frozen, frozen=True):
    """A cluster of a repository; ``trouble`` says why it cannot be used."""

    name: str
    path: str
    appliance: Appliance | None = None
    trouble: str = ""


class Repository:
    """The clusters of the repository at ``address``, whose short files ``small`` gives."""

    def __init__(self, address: str, small: Small) -> None:
        self.address = address
        self._small = small
        self._paths: dict[str, str] | None = None

    def paths(self) -> dict[str, str]:
        """Relative path of the XML of each cluster, by name, in the order of the index. Raises ImageError."""
        if self._paths is None:
            for index in INDEXES:
                content = self._small(index)
                if content is not None:
                    self._paths = _read_index(content, index)
                    break
            else:
                raise _wrong(f"{self.address} has neither {' nor '.join(INDEXES)}, so it is not a repository")
        return self._paths

    def appliance(self, name: str) -> Appliance:
        """One cluster. Raises ImageError when it is not there or cannot be used."""
        paths = self.paths()
        if name not in paths:
            raise _wrong(f"{self.address} has no cluster {name}; it has {', '.join(paths) or 'none'}")
        document = self._small(paths[name])
        if document is None:
            raise _wrong(f"{self.address} lists {paths[name]}, and it is not there")
        return read_vc_in(document, name)

    def listed(self) -> tuple[Listed, ...]:
        """All clusters, also those that cannot be used."""
        found = []
        for name, path in self.paths().items():
            try:
                found.append(Listed(name=name, path=path, appliance=self.appliance(name)))
            except ImageError as error:
                found.append(Listed(name=name, path=path, trouble=" ".join(problem.detail for problem in error.problems)))
        return tuple(found)


def folder_of(address: str) -> str:
    """The folder of a repository that was named by itself or by its index."""
    base, mark, query = address.partition("?")
    for index in INDEXES:
        if base == index or base.endswith(f"/{index}"):
            base = base[: -len(index)] or "."
    return f"{base}{mark}{query}"


def _read_index(content: bytes, index: str) -> dict[str, str]:
    text = content.decode(errors="replace")
    if index.endswith(".json"):
        try:
            said = json.loads(text)
        except ValueError as error:
            raise _wrong(f"{index} cannot be read: {error}") from None
        pairs = [(str(name), str(path)) for name, path in said.items()] if isinstance(said, dict) else []
    else:
        lines = (line.strip() for line in text.splitlines())
        pairs = [
            (name.strip(), path.strip()) for line in lines if line and line[0] != "#" for name, _, path in [line.partition(",")]
        ]
    found: dict[str, str] = {}
    for name, path in pairs:
        if not _NAME.fullmatch(name) or not _PATH.fullmatch(path):
            raise _wrong(f"{index} has an entry that is not a name and a relative path: {f'{name},{path}'[:80]!r}")
        if name in found:
            raise _wrong(f"{index} names {name} twice")
        found[name] = path
    return found


def _wrong(why: str) -> ImageError:
    return ImageError(Problem(summary="repository cannot be used", detail=f"{why}."))
