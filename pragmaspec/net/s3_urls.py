"""``s3://BUCKET/KEY`` with options as a query, for images and for states.

Source: Amazon S3 User Guide, "Bucket naming rules". Other stores, and AWS before 2018, allow ``_`` and up to 255 characters.
"""

import re
from collections.abc import Collection
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote

from pragmaspec.net.urls import UrlError, parse_url

IMAGE_OPTIONS = ("anonymous", "endpoint", "profile", "region")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,253}[a-z0-9]")
_REGION = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


class S3Url(NamedTuple):
    """A bucket and what is in it. ``key`` is unescaped; ``options`` in the order they were written."""

    bucket: str
    key: str
    options: dict[str, str]

    @property
    def shown(self) -> str:
        """The URL without options."""
        return f"s3://{self.bucket}/{self.key}"


def parse_s3_url(text: str, options: Collection[str]) -> S3Url:
    """The S3 URL ``text``, whose query may have ``options`` only. Raises UrlError."""
    if text.startswith("s3://") and text[5:].partition("/")[0].lower() != text[5:].partition("/")[0]:
        raise UrlError("the name of a bucket is in lower case")
    url = parse_url(text, ("s3",), blanks=True)
    if url.user is not None or url.port is not None or not _BUCKET.fullmatch(url.host):
        raise UrlError("it does not name a bucket; write s3://BUCKET/KEY")
    if url.fragment:
        raise UrlError("there is a # in it; a # in a key is written %23")
    key = unquote(url.path.removeprefix("/"))
    if not key.isprintable():
        raise UrlError("its key has a character that cannot be seen")
    return S3Url(url.host, key, _options(url.query, options))


def check_endpoint(text: str) -> None:
    """Raise UrlError unless ``text`` is the URL of a store: http or https, without credentials."""
    endpoint = parse_url(text)
    if endpoint.user is not None or endpoint.query or endpoint.fragment:
        raise UrlError("an endpoint is http:// or https:// and a host, without credentials and without ?")


def is_region(text: str) -> bool:
    """True if ``text`` has the form of a region's name, and so can be part of a host name."""
    return _REGION.fullmatch(text) is not None


def _options(query: str, known: Collection[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name not in known:
            raise UrlError(f"there is no option `{name}`; there are {', '.join(sorted(known))}")
        if name in found:
            raise UrlError(f"its option `{name}` stands there twice")
        found[name] = value
    if found.get("anonymous", "false") not in {"true", "false"}:
        raise UrlError("its option `anonymous` is true or false")
    if "region" in found and not is_region(found["region"]):
        raise UrlError("its option `region` is not the name of one, such as eu-central-1")
    if "endpoint" in found:
        try:
            check_endpoint(found["endpoint"])
        except UrlError as error:
            raise UrlError(f"its option `endpoint` is wrong: {error}") from None
    return found
