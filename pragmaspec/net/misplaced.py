"""URLs where none is expected: in the place of a path, and in a sentence."""

import re

from pragmaspec.net.urls import UrlError, redact_url

_URL_OR_PATH = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+:)/")
_LOGIN_WITHIN = re.compile(r"\b([A-Za-z][A-Za-z0-9+.-]+:/{1,2})[^\s/?#@:]*:[^\s/?#@]*@")


def reject_url(path: str) -> None:
    """Raise UrlError when ``path`` is a URL. A ``Path`` made of one has one slash only; ``./`` before a name keeps it a path."""
    found = _URL_OR_PATH.match(path)
    if found is None:
        return
    slashes = "///" if found[1].lower() == "file:" else "//"
    shown = redact_url(f"{found[1]}{slashes}{path[found.end() :].lstrip('/')}")
    raise UrlError(f"{shown} is a URL, and a path on this machine is needed")


def redact_passwords(text: str) -> str:
    """``text``, which may hold URLs, without the users and passwords in them. A path that was a URL has one slash only."""
    return _LOGIN_WITHIN.sub(r"\1", text)
