"""Every kind of place for a state, by the scheme of its URL. A new kind is its module and one line here."""

import re
from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType

from pragmaspec.errors import UsageError
from pragmaspec.state.backends.base import Backend

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):")


def open_backend(text: str, base: Path) -> Backend:
    """The place that ``text`` names: a URL, or the path of a folder, relative to ``base``. Contacts nothing.

    Raises UsageError for a scheme that nothing here knows, and for a URL that cannot be.
    """
    if not text.strip():
        raise UsageError("There is no such place for a state", f"An empty name is none. {_KNOWN}")
    found = _SCHEME.match(text)
    if found is None:
        return _folder(str(base / Path(text).expanduser()))
    scheme = found[1].lower()
    if scheme not in _GROUNDS:
        raise _unknown(text, scheme)
    return _GROUNDS[scheme](str(base / _path(text)) if scheme == "file" else text)


def _path(url: str) -> str:
    """The path in a ``file:`` URL (RFC 8089): with an empty host or ``localhost``, or without any."""
    from urllib.parse import unquote  # noqa: PLC0415 - only for such a URL

    place, query = url.partition(":")[2].partition("?")[::2]
    host, slash, path = place.removeprefix("//").partition("/") if place.startswith("//") else ("", "", place)
    if host not in ("", "localhost") or query or "#" in place or "\0" in unquote(place):
        raise UsageError(
            "There is no such place for a state",
            f"{url}: a file: URL names a folder of this machine and nothing else, such as file:///srv/states/hello.",
        )
    return unquote(slash + path)


def _folder(path: str) -> Backend:
    from pragmaspec.state.backends.local.backend import LocalBackend  # noqa: PLC0415 - only the chosen kind is loaded

    return LocalBackend(Path(path))


def _http(url: str) -> Backend:
    from pragmaspec.state.backends.http.backend import HttpBackend  # noqa: PLC0415 - only the chosen kind is loaded

    return HttpBackend(url)


def _s3(url: str) -> Backend:
    from pragmaspec.state.backends.s3.backend import S3Backend  # noqa: PLC0415 - only the chosen kind is loaded

    return S3Backend(url)


def _postgresql(url: str) -> Backend:
    from pragmaspec.state.backends.postgresql.backend import PostgresqlBackend  # noqa: PLC0415 - only the chosen kind is loaded

    return PostgresqlBackend(url)


_GROUNDS = MappingProxyType[str, Callable[[str], Backend]](
    {"file": _folder, "http": _http, "https": _http, "s3": _s3, "postgresql": _postgresql, "postgres": _postgresql}
)
SCHEMES = tuple(_GROUNDS)
"""The schemes that :func:`open_backend` knows."""
_KNOWN = "A state is recorded in a folder, or at a URL that begins with https:, http:, s3: or postgresql:."


def _unknown(text: str, scheme: str) -> UsageError:
    from difflib import get_close_matches  # noqa: PLC0415 - only for who mistyped

    near = get_close_matches(scheme, SCHEMES, n=1, cutoff=0.6)
    # Of the URL only the scheme is shown: the rest may hold a password.
    mean = f" Did you mean {near[0]}:?" if near else ""
    path = f" For a folder of that name write ./{text}." if "//" not in text else ""
    return UsageError("There is no such place for a state", f"Nothing here knows {scheme}: URLs.{mean} {_KNOWN}{path}")
