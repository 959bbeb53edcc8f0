"""Translation of a library's errors by a table: exception → SiteError subclass, constant summary, and advice to the user."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from pragmaspec.errors import SiteError


def _always(_: Exception) -> bool:
    return True


@dataclass(frozen=True)
class ErrorRow:
    """The translation of exceptions of the class ``raised`` that satisfy ``when``.

    ``summary`` is constant, ``advice`` is one or more sentences.
    """

    raised: type[Exception]
    error: type[SiteError]
    summary: str
    advice: str
    when: Callable[[Any], bool] = _always
    """Such as ``lambda error: error.status == 404``."""


class ErrorTable:
    """Translates errors of ``library``, by the first row that fits."""

    def __init__(self, library: str, rows: tuple[ErrorRow, ...]) -> None:
        self._library = library
        self._rows = rows

    @contextmanager
    def translated(self, doing: str) -> Iterator[None]:
        """Raise errors in the block as SiteError. ``doing`` completes "Could not …". Errors without a row pass: they are bugs."""
        try:
            yield
        except Exception as error:
            row = self._row(error)
            if row is None:
                raise
            raise self._site_error(row, error, doing) from error

    def uncovered(self, module: ModuleType) -> tuple[str, ...]:
        """Return the names of exceptions in ``module`` that no row without a condition covers, for the tests of a provider."""
        kinds = tuple(row.raised for row in self._rows if row.when is _always)
        public = ((name, each) for name, each in vars(module).items() if not name.startswith("_"))
        return tuple(
            sorted(
                name
                for name, each in public
                if isinstance(each, type) and issubclass(each, Exception) and not issubclass(each, (Warning, *kinds))
            )
        )

    def _row(self, error: Exception) -> ErrorRow | None:
        return next((row for row in self._rows if isinstance(error, row.raised) and row.when(error)), None)

    def _site_error(self, row: ErrorRow, error: Exception, doing: str) -> SiteError:
        message = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        return row.error(row.summary, f"Could not {doing}. {self._library} reports: {message}. {row.advice}")
