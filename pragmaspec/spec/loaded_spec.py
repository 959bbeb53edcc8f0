"""A loaded spec, with everything needed to expand it without further input."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pragmaspec.errors import Problem, Where
from pragmaspec.plugins import Plugin
from pragmaspec.spec.findings import Finding
from pragmaspec.spec.models.cluster import SpecModel
from pragmaspec.spec.yaml.tree import Document, TreePath


@dataclass(frozen=True)
class LoadedSpec:
    """The model of a valid spec, and the contents of the files it refers to.

    ``model.sites`` contains the sites of the spec and of the sites files. ``files`` lists every file that was read or looked for,
    with its absolute path and SHA-256 ("" if it does not exist). ``ssh_keys`` are the public key lines of each cluster;
    ``user_data`` the documents by ``(cluster,)`` and ``(cluster, *path of the nodes in the cluster)``. ``need`` are the
    clusters whose files had to be readable, None: all; files of other clusters that could not be read are in ``unread``.
    """

    model: SpecModel
    document: Document
    directory: Path
    files: tuple[tuple[str, str], ...]
    ssh_keys: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    user_keys: Mapping[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)
    """The public key lines of users, by cluster and name."""
    user_data: Mapping[tuple[str, ...], Mapping[str, Any]] = field(default_factory=dict)
    site_documents: Mapping[str, Document] = field(default_factory=dict)
    """The document that defines each site: the spec or a sites file."""
    site_directories: Mapping[str, Path] = field(default_factory=dict)
    warnings: tuple[Problem, ...] = ()
    """Warnings, in the order of the files."""
    need: frozenset[str] | None = None
    unread: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The fields of nodes that depend on unreadable files, by cluster."""
    plugins: Mapping[str, Plugin] = field(default_factory=dict)
    """The providers of other packages, by site."""
    plugin_files: tuple[tuple[str, str], ...] = ()
    """Files that change when such a package does, as ``files``."""

    def needs(self, cluster: str) -> bool:
        """True if the files of ``cluster`` had to be readable."""
        return self.need is None or cluster in self.need

    @property
    def file(self) -> str:
        """The path of the spec as given by the user."""
        return self.document.file

    def where(self, path: TreePath) -> Where:
        """Return the position of ``path``, such as ``("clusters", "hello", "frontend")``, or of its nearest existing ancestor."""
        return self._document(path).where(path)

    def problem(self, path: TreePath, summary: str, detail: str) -> Problem:
        """Return a problem at ``path``."""
        return Finding(path, summary, detail).problem(self._document(path))

    def _document(self, path: TreePath) -> Document:
        return self.site_documents.get(str(path[1]), self.document) if path[:1] == ("sites",) and path[1:] else self.document
