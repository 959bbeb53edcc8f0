"""Files in S3 buckets, of AWS or of any server that speaks its protocol: a URL signed for each request, then plain HTTP.

Source: Amazon S3 API Reference, "Authenticating Requests: Using Query Parameters (AWS Signature Version 4)" and ListObjectsV2.
"""

import os
from collections.abc import Mapping
from contextlib import closing
from typing import Any
from urllib.parse import quote, urlencode
from xml.etree.ElementTree import Element, ParseError, fromstring

from pragmaspec.credentials import CREDENTIAL_SOURCES
from pragmaspec.errors import ImageError
from pragmaspec.frozen import Frozen
from pragmaspec.images.context import ImageContext
from pragmaspec.images.transfer.folders import RemoteFolder
from pragmaspec.images.transfer.http import HttpClient, RequestSpec, check_status, download_error, read_limited
from pragmaspec.net.s3_urls import IMAGE_OPTIONS, check_endpoint, is_region, parse_s3_url
from pragmaspec.net.urls import UrlError, parse_url, redact_url

SIGNATURE_VALID_S = 3600
AWS = "amazonaws.com"
_NAMESPACE = "{http://s3.amazonaws.com/doc/2006-03-01/}"
_MOST_PAGES = 100


class S3File(Frozen, frozen=True):
    """The object ``key`` in ``bucket``. Empty options: AWS's own places decide (environment, profile, ``~/.aws``)."""

    bucket: str
    key: str
    region: str = ""
    endpoint: str = ""
    profile: str = ""
    anonymous: bool = False

    def shown(self) -> str:
        """The URL without options."""
        return f"s3://{self.bucket}/{self.key}"

    def ask(self, web: HttpClient) -> RequestSpec:
        """The object's URL, signed for an hour unless ``anonymous``.

        S3 promises nothing about ``If-Range``, but answers ``If-Match`` with 412 when the object is another one.
        """
        return RequestSpec(url=self.url(web), condition="If-Match")

    def url(self, web: HttpClient, query: Mapping[str, str] | None = None, environ: Mapping[str, str] = os.environ) -> str:
        """The URL to ask, signed unless ``anonymous``. Raises ImageError and BrokenOffError."""
        endpoint = self.endpoint or self._endpoint(environ)
        session = None if self.anonymous else _session(self.shown(), self.profile)
        region = self._region(web, session, endpoint, environ)
        path = quote(self.key, safe="/~")
        if endpoint:
            url = f"{endpoint.rstrip('/')}/{self.bucket}/{path}"
        elif "." in self.bucket:  # a wildcard certificate covers one label only
            url = f"https://s3.{region}.{AWS}/{self.bucket}/{path}"
        else:
            url = f"https://{self.bucket}.s3.{region}.{AWS}/{path}"
        if query:
            url += "?" + urlencode(query, quote_via=quote)
        return url if session is None else _signed(session, url, region, self.shown())

    def _endpoint(self, environ: Mapping[str, str]) -> str:
        """The endpoint that the environment names; empty for AWS. Raises ImageError."""
        for name in ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"):
            if endpoint := environ.get(name, ""):
                try:
                    check_endpoint(endpoint)
                except UrlError as error:
                    raise _wrong(self.shown(), f"{name} is wrong: {error}") from None
                return endpoint
        return ""

    def _region(self, web: HttpClient, session: Any, endpoint: str, environ: Mapping[str, str]) -> str:  # noqa: ANN401 - botocore has no types
        """Where the bucket is: as said, else as S3 itself tells everybody who asks; other stores do not care."""
        said = self.region or environ.get("AWS_REGION", "") or environ.get("AWS_DEFAULT_REGION", "")
        said = said or (session.get_config_variable("region") if session else "") or ("us-east-1" if endpoint else "")
        if said:
            if not is_region(str(said)):
                raise _wrong(self.shown(), "the region that is set is not the name of one, such as eu-central-1")
            return str(said)
        with closing(web.open(RequestSpec(url=f"https://s3.{AWS}/{self.bucket}"))) as response:
            told = response.headers.get("x-amz-bucket-region", "")
        return told if is_region(told) else "us-east-1"


def s3_file(url: str) -> S3File:
    """The object that ``s3://bucket/key`` names, with ``?region=``, ``endpoint=``, ``profile=``, ``anonymous=true``."""
    try:
        found = parse_s3_url(url, IMAGE_OPTIONS)
    except UrlError as error:
        raise _wrong(redact_url(url), str(error)) from None
    options = dict(found.options)
    anonymous = options.pop("anonymous", "false") == "true"
    return S3File(bucket=found.bucket, key=found.key, anonymous=anonymous, **options)


class S3Folder(RemoteFolder):
    """The objects of a bucket below a prefix."""

    def __init__(self, url: str, workshop: ImageContext) -> None:
        super().__init__(workshop)
        found = s3_file(url)
        self._prefix = found.key.rstrip("/") + "/" if found.key.strip("/") else ""
        self._root = found

    def origin(self) -> str:
        """The URL without options."""
        return f"s3://{self._root.bucket}/{self._prefix}"

    def address(self, name: str) -> S3File:
        """Of an object below the prefix."""
        found = self._root
        return S3File(
            bucket=found.bucket,
            key=self._prefix + name,
            region=found.region,
            endpoint=found.endpoint,
            profile=found.profile,
            anonymous=found.anonymous,
        )

    def names(self) -> tuple[str, ...]:
        """One level down."""
        found: set[str] = set()
        token = ""
        with HttpClient(self.workshop.policy) as web:
            for _ in range(_MOST_PAGES):
                page = web.insist(self.origin(), lambda token=token: self._page(web, token))  # type: ignore[misc]  # bound at once
                found |= {_text(each, "Key") for each in page.iter(f"{_NAMESPACE}Contents")}
                found |= {_text(each, "Prefix") for each in page.iter(f"{_NAMESPACE}CommonPrefixes")}
                token = _text(page, "NextContinuationToken")
                if not token:
                    break
        return tuple(sorted(name.removeprefix(self._prefix) for name in found if name != self._prefix))

    def _page(self, web: HttpClient, token: str) -> Element:
        query = {"list-type": "2", "delimiter": "/", "prefix": self._prefix, **({"continuation-token": token} if token else {})}
        root = self.address("")
        url = S3File(
            bucket=root.bucket,
            key="",
            region=root.region,
            endpoint=root.endpoint,
            profile=root.profile,
            anonymous=root.anonymous,
        ).url(web, query)
        with closing(web.open(RequestSpec(url=url))) as response:
            check_status(self.origin(), response)
            body = read_limited(self.origin(), response)
        try:
            return fromstring(body)  # noqa: S314 - from the store the user named; expat limits what entities may grow to
        except ParseError:
            raise download_error(self.origin(), "the server does not answer as S3 does") from None


def _text(element: Element, name: str) -> str:
    return element.findtext(f"{_NAMESPACE}{name}") or ""


def _session(shown: str, profile: str) -> Any:  # noqa: ANN401 - botocore has no types
    """Where AWS's tools look for credentials. Raises ImageError."""
    try:
        from botocore.exceptions import BotoCoreError  # noqa: PLC0415 - heavy, and only there when asked for
        from botocore.session import Session  # noqa: PLC0415
    except ImportError:
        why = "images in S3 need botocore: pip install 'botocore>=1.35.70'. Public ones do not: add ?anonymous=true"
        raise _wrong(shown, why) from None
    try:
        session = Session(profile=profile or None)
        session.get_config_variable("region")  # reads the files, and complains about an unknown profile
    except BotoCoreError as error:
        raise _wrong(shown, str(error).rstrip(".")) from None
    return session


def _signed(session: Any, url: str, region: str, shown: str) -> str:  # noqa: ANN401 - botocore has no types
    """``url`` with a signature in its query. Raises ImageError."""
    from botocore.auth import S3SigV4QueryAuth  # noqa: PLC0415 - heavy
    from botocore.awsrequest import AWSRequest  # noqa: PLC0415
    from botocore.exceptions import BotoCoreError  # noqa: PLC0415

    server = parse_url(url)
    if server.scheme != "https" and not server.is_local:
        raise _wrong(shown, "a signed URL would travel unencrypted; use an https endpoint, or anonymous=true")
    try:
        found = session.get_credentials()
        frozen = found.get_frozen_credentials() if found else None
    except BotoCoreError as error:
        raise _wrong(shown, str(error).rstrip(".")) from None
    if frozen is None:
        raise _wrong(
            shown, f"there are no credentials. They come from {CREDENTIAL_SOURCES['s3']}; a public object needs ?anonymous=true"
        )
    request = AWSRequest(method="GET", url=url)
    S3SigV4QueryAuth(frozen, "s3", region, expires=SIGNATURE_VALID_S).add_auth(request)
    return str(request.url)


def _wrong(shown: str, why: str) -> ImageError:
    return ImageError("Image in S3 cannot be had", f"{shown}: {why}.")
