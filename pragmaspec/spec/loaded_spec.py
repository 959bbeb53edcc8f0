"""A spec that was read and has no errors, with everything needed to expand it without reading anything more."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pragmaspec.errors import Problem, Where
from pragmaspec.spec.findings import Finding
from pragmaspec.spec.models.cluster import SpecModel
from pragmaspec.spec.yaml.tree import Document, TreePath


@dataclass(frozen=True)
class LoadedSpec:
    """The spec's model, and what was read beside it.

    ``model.sites`` holds the sites of the spec and of the sites files. ``files`` lists every file that was read or looked for:
    absolute path and SHA-256 of its bytes, "" for one that is not there. ``ssh_keys`` are each cluster's public key lines;
    ``user_data`` the documents by place: ``(cluster,)``, ``(cluster, "frontend")``, ``(cluster, "computes")``. ``need``: the
    clusters that were to be read with all they point to, None: all; of the others ``unread`` says what could not be read.
    """

    model: SpecModel
    document: Document
    directory: Path
    files: tuple[tuple[str, str], ...]
    ssh_keys: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    user_data: Mapping[tuple[str, ...], Mapping[str, Any]] = field(default_factory=dict)
    site_documents: Mapping[str, Document] = field(default_factory=dict)
    """Where each site stands: in the spec, or in a sites file."""
    site_directories: Mapping[str, Path] = field(default_factory=dict)
    warnings: tuple[Problem, ...] = ()
    """Problems that do not prevent a plan, in the order of the files."""
    need: frozenset[str] | None = None
    unread: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """By cluster, the fields of its nodes that follow from files which could not be read."""

    def needs(self, cluster: str) -> bool:
        """True if ``cluster`` was to be read with all it refers to."""
        return self.need is None or cluster in self.need

    @property
    def file(self) -> str:
        """The spec's path as the user named it."""
        return self.document.file

    def where(self, path: TreePath) -> Where:
        """The place of ``path`` (such as ``("clusters", "hello", "frontend")``), or of its nearest ancestor that was written."""
        return self._document(path).where(path)

    def problem(self, path: TreePath, summary: str, detail: str) -> Problem:
        """A problem at ``path``, with the user's line."""
        return Finding(path, summary, detail).problem(self._document(path))

    def _document(self, path: TreePath) -> Document:
        return self.site_documents.get(str(path[1]), self.document) if path[:1] == ("sites",) and path[1:] else self.document
