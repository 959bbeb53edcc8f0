"""The state backends by URL scheme. A new backend is a package and one entry in the table below."""

import re
from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType

from pragmaspec.errors import UsageError
from pragmaspec.state.backends.base import Backend
from pragmaspec.text import closest

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):")
_SUMMARY = "Unknown state backend"
_KNOWN = "A state is recorded in a directory, or at a URL that begins with https:, http:, s3: or postgresql:."


def open_backend(text: str, base: Path) -> Backend:
    """Return the backend that ``text`` names: a URL, or the path of a directory relative to ``base``. Contacts nothing.

    Raises UsageError for an unknown scheme and for an invalid URL.
    """
    if not text.strip():
        raise UsageError(_SUMMARY, f"The name is empty. {_KNOWN}")
    found = _SCHEME.match(text)
    if found is None:
        return _local(str(base / Path(text).expanduser()))
    scheme = found[1].lower()
    if scheme not in _BACKENDS:
        raise _unknown_scheme(text, scheme)
    return _BACKENDS[scheme](str(base / _file_path(text)) if scheme == "file" else text)


def _file_path(url: str) -> str:
    """Return the path in a ``file:`` URL (RFC 8089) whose host is absent, empty or ``localhost``."""
    from urllib.parse import unquote  # noqa: PLC0415 - needed only for such a URL

    rest, query = url.partition(":")[2].partition("?")[::2]
    host, slash, path = rest.removeprefix("//").partition("/") if rest.startswith("//") else ("", "", rest)
    if host not in ("", "localhost") or query or "#" in rest or "\0" in unquote(rest):
        detail = f"{url}: a file: URL names only a directory of this machine, for example file:///srv/states/hello."
        raise UsageError(_SUMMARY, detail)
    return unquote(slash + path)


def _local(path: str) -> Backend:
    from pragmaspec.state.backends.local.backend import LocalBackend  # noqa: PLC0415 - loaded on demand

    return LocalBackend(Path(path))


def _http(url: str) -> Backend:
    from pragmaspec.state.backends.http.backend import HttpBackend  # noqa: PLC0415 - loaded on demand

    return HttpBackend(url)


def _s3(url: str) -> Backend:
    from pragmaspec.state.backends.s3.backend import S3Backend  # noqa: PLC0415 - loaded on demand

    return S3Backend(url)


def _postgresql(url: str) -> Backend:
    from pragmaspec.state.backends.postgresql.backend import PostgresqlBackend  # noqa: PLC0415 - loaded on demand

    return PostgresqlBackend(url)


_BACKENDS = MappingProxyType[str, Callable[[str], Backend]](
    {"file": _local, "http": _http, "https": _http, "s3": _s3, "postgresql": _postgresql, "postgres": _postgresql}
)
SCHEMES = tuple(_BACKENDS)
"""The schemes that :func:`open_backend` accepts."""


def _unknown_scheme(text: str, scheme: str) -> UsageError:
    # Only the scheme is shown: the rest of the URL may contain a password.
    near = closest(scheme, SCHEMES)
    suggestion = f"Did you mean {near}:?" if near else ""
    local = f"For a directory of that name write ./{text}." if "//" not in text else ""
    parts = (f"There is no backend for {scheme}: URLs.", suggestion, _KNOWN, local)
    return UsageError(_SUMMARY, " ".join(part for part in parts if part))
