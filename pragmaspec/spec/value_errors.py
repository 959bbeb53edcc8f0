"""Errors of single values in the models: a constant summary, and a sentence that tells the user what to write."""

import re
from collections.abc import Iterable

from pydantic_core import PydanticCustomError

VALUE_ERROR = "pragmaspec_value"
"""The type of errors with a summary and detail of our own; other types are pydantic's, see :mod:`.validation.translate`."""
PART_ERRORS = "pragmaspec_parts"
"""The type of errors with several :data:`PartError` values."""
PartError = tuple[tuple[str | int, ...], str, str]
"""Path inside a value, summary, and detail."""

_VALUE_TEXT_MAX = 60
SECRET_NAME = re.compile(
    r"[A-Za-z0-9_.-]*(password|passwd|passfile|token|secret|signature|credential|api_?key)[A-Za-z0-9_.-]*", re.IGNORECASE
)
"""Names of URL parameters that may contain a secret."""
_CREDENTIALS = re.compile(r"(://)[^/@\s]+@")
_SECRET_PARAMETERS = re.compile(rf"([?&]{SECRET_NAME.pattern}=)[^&#\s\"'}},]+", re.IGNORECASE)


def value_error(summary: str, detail: str) -> PydanticCustomError:
    """Return the error of an invalid value. ``detail`` is a sentence without capital and full stop."""
    return PydanticCustomError(VALUE_ERROR, "{summary}: {detail}", {"summary": summary, "detail": detail})


def summary_and_detail(error: PydanticCustomError) -> tuple[str, str]:
    """Return summary and detail of an error created by :func:`value_error`."""
    context = error.context or {}
    return str(context["summary"]), str(context["detail"])


def part_errors(parts: Iterable[PartError]) -> PydanticCustomError:
    """Return the error of a value with several invalid parts, each of which is reported at its own position."""
    found = list(parts)
    text = "; ".join(f"{summary}: {detail}" for _, summary, detail in found)
    return PydanticCustomError(PART_ERRORS, "{text}", {"text": text, "parts": found})


def without_credentials(text: str) -> str:
    """Return ``text`` with user names and passwords in URLs, and values of possibly secret parameters, replaced by ``…``."""
    return _SECRET_PARAMETERS.sub(r"\1…", _CREDENTIALS.sub(r"\1…@", text))


def value_text(value: object) -> str:
    """Return ``value`` for a message, without credentials and truncated to 60 characters."""
    if value is None:
        return "nothing"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    text = str(value).lower() if isinstance(value, bool) else without_credentials(str(value))
    text = text if len(text) <= _VALUE_TEXT_MAX else text[: _VALUE_TEXT_MAX - 1] + "…"
    return f"`{text.encode('unicode_escape').decode() if not text.isprintable() else text}`"
