"""Files and folders in S3 buckets, of AWS or a compatible server: each request is a signed URL, sent over plain HTTP.

Source: Amazon S3 API Reference, "ListObjectsV2"; Amazon S3 User Guide, "Methods for accessing a bucket".
"""

import os
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode
from xml.etree.ElementTree import Element, ParseError, fromstring

from msgspec.structs import replace

from pragmaspec.credentials import CREDENTIAL_SOURCES
from pragmaspec.errors import ImageError
from pragmaspec.frozen import Frozen
from pragmaspec.images.context import ImageContext
from pragmaspec.images.transfer.folders import RemoteFolder
from pragmaspec.images.transfer.http import DownloadClient, RequestSpec, check_status, download_error, read_limited
from pragmaspec.net.s3 import (
    BotocoreMissingError,
    S3ConfigError,
    endpoint_from_environment,
    find_region,
    open_session,
    sign_url,
)
from pragmaspec.net.s3_urls import IMAGE_OPTIONS, is_region, parse_s3_url
from pragmaspec.net.urls import UrlError, parse_url, redact_url
from pragmaspec.typing import override

AWS = "amazonaws.com"
_DEFAULT_REGION = "us-east-1"
_NAMESPACE = "{http://s3.amazonaws.com/doc/2006-03-01/}"
_MAX_PAGES = 100


class S3File(Frozen, frozen=True):
    """The object ``key`` in ``bucket``. Empty fields: AWS's own configuration decides (environment, profile, ``~/.aws``)."""

    bucket: str
    key: str
    region: str = ""
    endpoint: str = ""
    profile: str = ""
    anonymous: bool = False

    def display_name(self) -> str:
        """The URL without options."""
        return f"s3://{self.bucket}/{self.key}"

    def request(self, client: DownloadClient) -> RequestSpec:
        """Return the request for the object, signed for an hour unless ``anonymous``.

        S3 does not specify ``If-Range``, but answers a failed ``If-Match`` with 412.
        """
        return RequestSpec(url=self.url(client), condition="If-Match")

    def url(self, client: DownloadClient, query: Mapping[str, str] | None = None, environ: Mapping[str, str] = os.environ) -> str:
        """Return the URL of a request, signed unless ``anonymous``. Raises ImageError and TRANSPORT_ERRORS."""
        try:
            endpoint = self.endpoint or endpoint_from_environment(environ)
            session = None if self.anonymous else open_session(self.profile)
            region = self.region or find_region(session, endpoint, environ) or self._ask_region(client)
            url = self._unsigned_url(endpoint, region, query)
            return url if session is None else self._sign(session, url, region)
        except BotocoreMissingError as error:
            raise self._error(f"{error}. Public objects do not need it: add ?anonymous=true") from None
        except S3ConfigError as error:
            raise self._error(str(error)) from None

    def _unsigned_url(self, endpoint: str, region: str, query: Mapping[str, str] | None) -> str:
        path = quote(self.key, safe="/~")
        if endpoint:
            url = f"{endpoint.rstrip('/')}/{self.bucket}/{path}"
        elif "." in self.bucket:  # a wildcard certificate covers one label only
            url = f"https://s3.{region}.{AWS}/{self.bucket}/{path}"
        else:
            url = f"https://{self.bucket}.s3.{region}.{AWS}/{path}"
        return f"{url}?{urlencode(query, quote_via=quote)}" if query else url

    def _ask_region(self, client: DownloadClient) -> str:
        """Ask AWS for the region of the bucket, which needs no credentials."""
        with client.open(RequestSpec(url=f"https://s3.{AWS}/{self.bucket}")) as response:
            region = response.headers.get("x-amz-bucket-region", "")
        return region if is_region(region) else _DEFAULT_REGION

    def _sign(self, session: Any, url: str, region: str) -> str:  # noqa: ANN401 - botocore has no types
        server = parse_url(url)
        if server.scheme != "https" and not server.is_local:
            raise self._error("a signed URL must not be sent unencrypted; use an https endpoint, or anonymous=true")
        signed = sign_url(session, url, region)
        if not signed:
            raise self._error(f"no credentials. They come from {CREDENTIAL_SOURCES['s3']}; public objects need ?anonymous=true")
        return signed

    def _error(self, reason: str) -> ImageError:
        return _s3_error(self.display_name(), reason)


def s3_file(url: str) -> S3File:
    """Return the object at ``s3://bucket/key``, with the options ``region``, ``endpoint``, ``profile`` and ``anonymous=true``."""
    try:
        parsed = parse_s3_url(url, IMAGE_OPTIONS)
    except UrlError as error:
        raise _s3_error(redact_url(url), str(error)) from None
    options = dict(parsed.options)
    anonymous = options.pop("anonymous", "false") == "true"
    return S3File(bucket=parsed.bucket, key=parsed.key, anonymous=anonymous, **options)


class S3Folder(RemoteFolder):
    """The objects of a bucket under a prefix."""

    def __init__(self, url: str, context: ImageContext) -> None:
        super().__init__(context)
        root = s3_file(url)
        self._prefix = root.key.rstrip("/") + "/" if root.key.strip("/") else ""
        self._bucket = replace(root, key="")

    @override
    def origin(self) -> str:
        return f"s3://{self._bucket.bucket}/{self._prefix}"

    @override
    def file(self, name: str) -> S3File:
        return replace(self._bucket, key=self._prefix + name)

    @override
    def names(self) -> tuple[str, ...]:
        keys: set[str] = set()
        token = ""
        with DownloadClient(self.context.policy) as client:
            for _ in range(_MAX_PAGES):
                page = client.with_retries(self.origin(), lambda token=token: self._page(client, token))  # type: ignore[misc]  # bound at once
                keys |= {_text(each, "Key") for each in page.iter(f"{_NAMESPACE}Contents")}
                keys |= {_text(each, "Prefix") for each in page.iter(f"{_NAMESPACE}CommonPrefixes")}
                token = _text(page, "NextContinuationToken")
                if not token:
                    break
        return tuple(sorted(key.removeprefix(self._prefix) for key in keys if key != self._prefix))

    def _page(self, client: DownloadClient, token: str) -> Element:
        query = {"list-type": "2", "delimiter": "/", "prefix": self._prefix, **({"continuation-token": token} if token else {})}
        with client.open(RequestSpec(url=self._bucket.url(client, query))) as response:
            check_status(self.origin(), response)
            body = read_limited(self.origin(), response)
        try:
            return fromstring(body)  # noqa: S314 - from the server that the user configured; expat limits entity expansion
        except ParseError:
            raise download_error(self.origin(), "the server does not answer like S3") from None


def _text(element: Element, name: str) -> str:
    return element.findtext(f"{_NAMESPACE}{name}") or ""


def _s3_error(display_name: str, reason: str) -> ImageError:
    return ImageError("Image in S3 is unavailable", f"{display_name}: {reason}.")
