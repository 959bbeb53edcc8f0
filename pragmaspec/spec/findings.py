"""Findings: problems at a path in a document, before the path is resolved to a line."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from pragmaspec.errors import Problem
from pragmaspec.spec.yaml.text import quoted_line
from pragmaspec.spec.yaml.tree import Document, TreePath
from pragmaspec.text import joined

_LISTED_MAX = 20


@dataclass(frozen=True)
class Finding:
    """A problem at ``path``. ``about`` are further paths whose values it depends on."""

    path: TreePath
    summary: str
    detail: str
    at_key: bool = False
    about: tuple[TreePath, ...] = ()
    severity: Literal["error", "warning"] = "error"

    def problem(self, document: Document) -> Problem:
        """Return the problem with its line in ``document``."""
        where = document.where_key(self.path) if self.at_key else document.where(self.path)
        quote = quoted_line(document.text, where.line)
        return Problem(summary=self.summary, detail=self.detail, where=where, quote=quote, severity=self.severity)


def listed(names: Iterable[str], last: str = "and") -> str:
    """Return ``a, b and c`` with each name in backticks, truncated after 20."""
    return joined([f"`{name}`" for name in names], _LISTED_MAX, last)


def overlaps(path: TreePath, others: Iterable[TreePath]) -> bool:
    """True if ``path`` equals, contains, or is contained in one of ``others``."""
    return any(path[: len(other)] == other[: len(path)] for other in others)
