"""``s3://BUCKET/KEY`` URLs with options in the query, for images and states.

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
    """A parsed S3 URL. ``key`` is unescaped; ``options`` are in the order of the query."""

    bucket: str
    key: str
    options: dict[str, str]

    @property
    def shown(self) -> str:
        """The URL without options, for display."""
        return f"s3://{self.bucket}/{self.key}"


def parse_s3_url(text: str, options: Collection[str]) -> S3Url:
    """Parse ``text``, whose query may contain ``options`` only. Raises UrlError."""
    if text.startswith("s3://") and text[5:].partition("/")[0].lower() != text[5:].partition("/")[0]:
        raise UrlError("bucket names are lower-case")
    url = parse_url(text, ("s3",), blanks=True)
    if url.user is not None or url.port is not None or not _BUCKET.fullmatch(url.host):
        raise UrlError("it has no valid bucket name; write s3://BUCKET/KEY")
    if url.fragment:
        raise UrlError("it contains a #; write %23 for a # in a key")
    key = unquote(url.path.removeprefix("/"))
    if not key.isprintable():
        raise UrlError("its key contains an invisible character")
    return S3Url(url.host, key, _parse_options(url.query, options))


def check_endpoint(text: str) -> None:
    """Raise UrlError unless ``text`` is an endpoint: an http or https URL without credentials and query."""
    endpoint = parse_url(text)
    if endpoint.user is not None or endpoint.query or endpoint.fragment:
        raise UrlError("an endpoint is an http:// or https:// URL without credentials and without a query")


def is_region(text: str) -> bool:
    """True if ``text`` has the form of a region name, and so is safe in a host name."""
    return _REGION.fullmatch(text) is not None


def _parse_options(query: str, known: Collection[str]) -> dict[str, str]:
    options: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name not in known:
            raise UrlError(f"it has an unknown option `{name}`; the options are {', '.join(sorted(known))}")
        if name in options:
            raise UrlError(f"its option `{name}` is given twice")
        options[name] = value
    if options.get("anonymous", "false") not in {"true", "false"}:
        raise UrlError("its option `anonymous` must be true or false")
    if "region" in options and not is_region(options["region"]):
        raise UrlError("its option `region` is not a region name, such as eu-central-1")
    if "endpoint" in options:
        try:
            check_endpoint(options["endpoint"])
        except UrlError as error:
            raise UrlError(f"its option `endpoint` is invalid: {error}") from None
    return options
