"""The public URL of an image's exact bytes, for hosts that download the disk themselves.

Such a URL must not reveal a secret to the host. So there is none for URLs with a user, a password or a query (it may be a
signature), for servers with credentials in ``~/.netrc`` or with a CloudFront key, for this machine itself, and for files that
were unpacked or converted. The host verifies the digest, which is that of an inspected disk.
"""

import os
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from netrc import NetrcParseError, netrc
from pathlib import Path

from pragmaspec.images.catalogue import CatalogueEntry
from pragmaspec.images.settings import Settings, read_settings
from pragmaspec.images.sources.url import UrlSource
from pragmaspec.net.urls import UrlError, parse_url
from pragmaspec.paths import home

_DRIVES = ("drive.google.com", "docs.google.com", "drive.usercontent.google.com")


def public_url(entry: CatalogueEntry, settings: Settings | None = None, environ: Mapping[str, str] = os.environ) -> str:
    """Return the public URL of the disk of ``entry``, or an empty string. Raises ImageError for invalid settings."""
    if entry.fetched is None or entry.fetched.blob != entry.disk:
        return ""
    known = settings or read_settings(environ)
    return next((url for url in _candidates(entry) if _is_public(url, known, environ)), "")


def _candidates(entry: CatalogueEntry) -> Iterator[str]:
    """Yield the URL after redirects, then that of the spec, which may redirect to a URL signed per download."""
    if entry.fetched is not None and entry.fetched.url:
        yield entry.fetched.url
    if isinstance(entry.source, UrlSource):
        yield entry.source.url


def _is_public(url: str, settings: Settings, environ: Mapping[str, str]) -> bool:
    try:
        found = parse_url(url)
    except UrlError:
        return False
    if url != found.shown or url != found.text:
        return False
    host = found.host
    signed = any(fnmatchcase(host, pattern) for key in settings.cloudfront for pattern in key.hosts)
    return host not in _DRIVES and not (signed or found.is_local or _has_credentials(host, environ))


def _has_credentials(host: str, environ: Mapping[str, str]) -> bool:
    """True if the user's netrc file has credentials for ``host``, or cannot be read."""
    named = environ.get("NETRC")
    for file in [Path(named)] if named else [home() / ".netrc", home() / "_netrc"]:
        try:
            if netrc(file).authenticators(host) is not None:
                return True
        except FileNotFoundError:
            continue
        except (OSError, NetrcParseError, UnicodeDecodeError):
            return True
    return False
