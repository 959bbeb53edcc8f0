"""What is wrong at a place in a document, before the place is turned into a line; and near misses."""

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal

from pragmaspec.errors import Problem
from pragmaspec.spec.yaml.text import quoted_line
from pragmaspec.spec.yaml.tree import Document, TreePath


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong at ``path``. ``about`` are further places whose values it was concluded from."""

    path: TreePath
    summary: str
    detail: str
    at_key: bool = False
    about: tuple[TreePath, ...] = ()
    severity: Literal["error", "warning"] = "error"

    def problem(self, document: Document) -> Problem:
        """The problem for people, with the line it is at."""
        where = document.where_key(self.path) if self.at_key else document.where(self.path)
        quote = quoted_line(document.text, where.line)
        return Problem(summary=self.summary, detail=self.detail, where=where, quote=quote, severity=self.severity)


def closest_match(wrong: str, known: Iterable[str]) -> str | None:
    """Which of ``known`` was probably meant by ``wrong``."""
    by_folded = {name.lower().replace("_", "-"): name for name in known}
    close = get_close_matches(wrong[:80].lower().replace("_", "-"), by_folded, n=1, cutoff=0.6)
    return by_folded[close[0]] if close else None


def listed(names: Iterable[str], last: str = "and") -> str:
    """``a, b and c``, each as code; cut after 20."""
    quoted = [f"`{name}`" for name in names]
    if len(quoted) > _LISTED_MAX:
        quoted = [*quoted[:_LISTED_MAX], f"{len(quoted) - _LISTED_MAX} more"]
    return f" {last} ".join([", ".join(quoted[:-1]), quoted[-1]]) if len(quoted) > 1 else "".join(quoted)


def overlaps(path: TreePath, others: Iterable[TreePath]) -> bool:
    """Whether ``path`` is, is inside, or contains one of ``others``."""
    return any(path[: len(other)] == other[: len(path)] for other in others)


_LISTED_MAX = 20
