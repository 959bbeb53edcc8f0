"""How the models say that a value is wrong: one summary, one sentence of advice."""

import re

from pydantic_core import PydanticCustomError

WRONG = "wrong"
"""The error type that carries our own words; every other type is pydantic's and is translated in ``findings``."""

_SHOWN_MAX = 60
_CREDENTIALS = re.compile(r"(://)[^/@\s]+@")


def wrong(summary: str, detail: str) -> PydanticCustomError:
    """The error for a value a person can correct: ``summary`` is constant per kind, ``detail`` says what to write."""
    return PydanticCustomError(WRONG, "{summary}: {detail}", {"summary": summary, "detail": detail})


def without_credentials(text: str) -> str:
    """``text`` without what stands before the ``@`` of a URL."""
    return _CREDENTIALS.sub(r"\1…@", text)


def shown(value: object) -> str:
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
