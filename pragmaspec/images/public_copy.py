"""Where anybody can download exactly the bytes of an image, without anything that belongs to the user.

A host that is told such a URL learns no secret, and what it gets is checked against the digest of a disk that somebody's machine
has looked at. So left out are URLs with a user, a password or a query (it may be a signature), servers that ``~/.netrc`` or a
CloudFront key is for, this machine itself, and whatever was unpacked or converted before it became the image.
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
    """The URL of the disk of ``entry``; empty when there is none that everybody may use. Raises ImageError for bad settings."""
    if entry.fetched is None or entry.fetched.blob != entry.disk:
        return ""
    known = settings or read_settings(environ)
    return next((url for url in _candidates(entry) if _is_public(url, known, environ)), "")


def _candidates(entry: CatalogueEntry) -> Iterator[str]:
    """Where it came from, after redirects; else what the spec names, which may lead to a URL that is signed for each download."""
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
    return host not in _DRIVES and not (signed or found.is_local or _has_password(host, environ))


def _has_password(host: str, environ: Mapping[str, str]) -> bool:
    """Whether the user's netrc file has one for ``host``. One that cannot be read may have."""
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
