"""A PRAGMA repository: a folder with an index, an XML for each cluster, disks beside it."""

from collections.abc import Callable

from pragmaspec.errors import ImageError
from pragmaspec.frozen import Frozen
from pragmaspec.images.pragma.index import INDEXES, Index, no_repository, read_index
from pragmaspec.images.pragma.vc_in import Appliance, read_vc_in
from pragmaspec.net.urls import is_remote, shown_url

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
        self.address = shown_url(address) if is_remote(address) else address
        self._small = small
        self._index: Index | None = None

    def paths(self) -> dict[str, str]:
        """Relative path of the XML of each cluster, by name, in the order of the index. Raises ImageError."""
        return self._read().paths

    def appliance(self, name: str) -> Appliance:
        """One cluster. Raises ImageError when it is not there or cannot be used."""
        paths = self.paths()
        if name not in paths:
            left_out = next((one.why for one in self._read().left_out if one.name == name), "")
            raise no_repository(left_out or f"{self.address} has no cluster {name}; it has {', '.join(paths) or 'none'}")
        document = self._small(paths[name])
        if document is None:
            raise no_repository(f"{self.address} lists {paths[name]}, and it is not there")
        return read_vc_in(document, name)

    def listed(self) -> tuple[Listed, ...]:
        """All that the index has, also what cannot be used: a cluster without a disk to start from, an entry that is none."""
        found = []
        for name, path in self.paths().items():
            try:
                appliance = self.appliance(name)
                appliance.disk("frontend")
            except ImageError as error:
                found.append(Listed(name=name, path=path, trouble=" ".join(problem.detail for problem in error.problems)))
            else:
                found.append(Listed(name=name, path=path, appliance=appliance))
        return (*found, *(Listed(name=one.name, path="", trouble=f"{one.why}.") for one in self._read().left_out))

    def _read(self) -> Index:
        if self._index is None:
            for file in INDEXES:
                content = self._small(file)
                if content is not None:
                    self._index = read_index(content, file)
                    break
            else:
                raise no_repository(f"{self.address} has neither {' nor '.join(INDEXES)}, so it is not a repository")
        return self._index


def folder_of(address: str) -> str:
    """The folder of a repository that was named by itself or by its index."""
    base, mark, query = address.partition("?")
    for index in INDEXES:
        if base == index or base.endswith(f"/{index}"):
            base = base[: -len(index)] or "."
    return f"{base}{mark}{query}"
