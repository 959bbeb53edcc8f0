"""How the models say that a value is wrong: one summary, one sentence of advice."""

import re

from pydantic_core import PydanticCustomError

WRONG = "wrong"
"""The error type that carries our own words; every other type is pydantic's and is translated in ``findings``."""

_SHOWN_MAX = 60
SECRET_NAME = re.compile(
    r"[A-Za-z0-9_.-]*(password|passwd|passfile|token|secret|signature|credential|api_?key)[A-Za-z0-9_.-]*", re.IGNORECASE
)
"""What a parameter of a URL is called that may hold a secret."""
_CREDENTIALS = re.compile(r"(://)[^/@\s]+@")
_SECRET_PARAMETERS = re.compile(rf"([?&]{SECRET_NAME.pattern}=)[^&#\s\"'}},]+", re.IGNORECASE)


def wrong(summary: str, detail: str) -> PydanticCustomError:
    """The error for a value a person can correct: ``summary`` is constant per kind, ``detail`` says what to write."""
    return PydanticCustomError(WRONG, "{summary}: {detail}", {"summary": summary, "detail": detail})


def without_credentials(text: str) -> str:
    """``text`` without what stands before the ``@`` of a URL, and without the values of parameters that may be secret."""
    return _SECRET_PARAMETERS.sub(r"\1…", _CREDENTIALS.sub(r"\1…@", text))


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
