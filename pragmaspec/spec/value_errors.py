"""How the models say that a value is wrong: one summary, one sentence of advice."""

import re
from collections.abc import Iterable

from pydantic_core import PydanticCustomError

VALUE_ERROR = "wrong"
"""The error type that carries our own words; every other type is pydantic's and is translated in ``shape``."""
PART_ERRORS = "wrong_parts"
"""The same for several things that are wrong inside of one value."""
PartError = tuple[tuple[str | int, ...], str, str]
"""Where inside of a value (keys and positions), summary and detail as :func:`value_error` has them."""

_SHOWN_MAX = 60
SECRET_NAME = re.compile(
    r"[A-Za-z0-9_.-]*(password|passwd|passfile|token|secret|signature|credential|api_?key)[A-Za-z0-9_.-]*", re.IGNORECASE
)
"""What a parameter of a URL is called that may hold a secret."""
_CREDENTIALS = re.compile(r"(://)[^/@\s]+@")
_SECRET_PARAMETERS = re.compile(rf"([?&]{SECRET_NAME.pattern}=)[^&#\s\"'}},]+", re.IGNORECASE)


def value_error(summary: str, detail: str) -> PydanticCustomError:
    """The error for a value a person can correct: ``summary`` is constant per kind, ``detail`` says what to write."""
    return PydanticCustomError(VALUE_ERROR, "{summary}: {detail}", {"summary": summary, "detail": detail})


def summary_and_detail(error: PydanticCustomError) -> tuple[str, str]:
    """Summary and detail of what :func:`value_error` made."""
    context = error.context or {}
    return str(context["summary"]), str(context["detail"])


def part_errors(parts: Iterable[PartError]) -> PydanticCustomError:
    """The error for a value with several parts that a person can correct, each to be shown where it stands."""
    found = list(parts)
    text = "; ".join(f"{summary}: {detail}" for _, summary, detail in found)
    return PydanticCustomError(PART_ERRORS, "{text}", {"text": text, "parts": found})


def without_credentials(text: str) -> str:
    """``text`` without what stands before the ``@`` of a URL, and without the values of parameters that may be secret."""
    return _SECRET_PARAMETERS.sub(r"\1…", _CREDENTIALS.sub(r"\1…@", text))


def value_text(value: object) -> str:
    """``value`` as it is named in a sentence, cut after 60 characters."""
    if value is None:
        return "nothing"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    text = str(value).lower() if isinstance(value, bool) else without_credentials(str(value))
    text = text if len(text) <= _SHOWN_MAX else text[: _SHOWN_MAX - 1] + "…"
    return f"`{text.encode('unicode_escape').decode() if not text.isprintable() else text}`"
