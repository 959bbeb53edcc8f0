"""Asking web servers: redirects that never downgrade, proxies from the environment, errors in words, nothing without a limit.

Where a file can be had: something that is turned into an HTTP request anew before every try, because signatures run out.
"""

import time
import zlib
from collections.abc import Callable, Mapping
from contextlib import closing
from types import TracebackType
from typing import Literal, Protocol, Self, TypeVar

import requests

from pragmaspec.errors import ImageError
from pragmaspec.frozen import Frozen
from pragmaspec.images.transfer.policy import TransferPolicy
from pragmaspec.images.transfer.response_facts import unsupported_transfer_coding
from pragmaspec.net.errors import TRANSPORT_ERRORS, TransferInterruptedError, explain_error, is_permanent, max_attempts
from pragmaspec.net.http import Session
from pragmaspec.net.urls import MAX_REDIRECTS, Url, UrlError, is_downgrade, parse_url, redact_url, resolve_reference

MAX_SMALL_BYTES = 8 * 2**20
CHUNK_BYTES = 256 * 1024
_LATER = frozenset({408, 425, 429})
_SERVER_ERROR = 500
_ABSENT = frozenset({404, 410})
_WITH_A_FILE = frozenset(range(200, 300)) - {204, 205}
_GZIP = ("gzip", "x-gzip")
_GZIP_MAGIC = b"\x1f\x8b"
_Result = TypeVar("_Result")


class RequestSpec(Frozen, frozen=True):
    """One request. ``headers`` may be secret: they are shown to the server of ``url`` only, and to none it redirects to.

    ``condition`` is the header by which this kind of server continues only the file that was begun (RFC 9110, section 13.1).
    """

    url: str
    headers: tuple[tuple[str, str], ...] = ()
    condition: Literal["If-Range", "If-Match"] = "If-Range"


class RemoteFile(Protocol):
    """A file somewhere on the network. A plain value that holds no secret."""

    def shown(self) -> str:
        """For people, and the same for the same file every time; without credentials."""
        ...

    def ask(self, web: "HttpClient") -> RequestSpec:
        """The request for the file, valid now. May itself ask the server first. Raises ImageError and BrokenOffError."""
        ...


class HttpClient:
    """Requests with the limits of ``patience``. Proxies and ``~/.netrc`` count as everywhere (``HTTPS_PROXY``, ``NO_PROXY``)."""

    def __init__(self, patience: TransferPolicy) -> None:
        self.patience = patience
        self._session = Session()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._session.close()

    def open(self, ask: RequestSpec, more: Mapping[str, str] | None = None) -> requests.Response:
        """The answer at the end of the redirects, its body not yet read; never from https to http. Close it.

        ``more`` are headers that everybody may see. Raises ImageError, and what ``TRANSPORT_ERRORS`` holds.
        """
        url, secret = parse_web_url(ask.url), dict(ask.headers)
        timeout = (self.patience.connect_timeout_s, self.patience.read_timeout_s)
        for _ in range(MAX_REDIRECTS):
            headers = {**(more or {}), **secret}
            response = self._session.get(url.text, headers=headers, stream=True, allow_redirects=False, timeout=timeout)
            location = _location(response)
            if not location:
                return response
            response.close()
            try:
                target = resolve_reference(url, location)
            except UrlError as error:
                raise download_error(url.shown, f"the server redirects to what cannot be asked: {error}") from None
            if is_downgrade(url, target):
                raise download_error(
                    url.shown, f"the server redirects to {target.shown}, which is less safe than what was asked for"
                )
            if url.server != target.server:
                secret = {}
            url = target
        raise download_error(url.shown, f"there are more than {MAX_REDIRECTS} redirects")

    def post(self, url: str, fields: Mapping[str, str]) -> bytes:
        """The answer to a form. Raises ImageError, and what ``TRANSPORT_ERRORS`` holds."""
        timeout = (self.patience.connect_timeout_s, self.patience.read_timeout_s)
        with closing(self._session.post(url, data=fields, stream=True, allow_redirects=False, timeout=timeout)) as response:
            check_status(redact_url(url), response)
            return read_limited(redact_url(url), response)

    def small(self, address: RemoteFile, most_bytes: int = MAX_SMALL_BYTES) -> bytes | None:
        """A small file whole; None when there is none. Raises ImageError."""
        return self.insist(address.shown(), lambda: self._small(address, most_bytes))

    def _small(self, address: RemoteFile, most_bytes: int) -> bytes | None:
        with closing(self.open(address.ask(self))) as response:
            if response.status_code in _ABSENT:
                return None
            check_status(address.shown(), response)
            return read_limited(address.shown(), response, most_bytes)

    def insist(self, shown: str, call: Callable[[], _Result]) -> _Result:
        """Try again what broke off, where that may help. Raises ImageError."""
        turn = 0
        while True:
            turn += 1
            try:
                return call()
            except TRANSPORT_ERRORS as error:
                if turn >= max_attempts(error, self.patience.tries):
                    raise download_error(shown, explain_attempts(turn, error)) from None
            time.sleep(self.patience.pause_s(turn - 1))


def check_status(shown: str, response: requests.Response) -> None:
    """Raises BrokenOffError when the server may say otherwise later, ImageError when it will not."""
    reason = "".join(letter for letter in response.reason or "" if letter.isprintable())[:80]
    status = f"{response.status_code} {reason}".rstrip()
    if response.status_code >= _SERVER_ERROR or response.status_code in _LATER:
        raise TransferInterruptedError(f"the server said {status}")
    if response.status_code not in _WITH_A_FILE:
        region = response.headers.get("x-amz-bucket-region", "")
        raise download_error(
            shown, f"the server said {status}" + (f"; the bucket is in the region {region[:40]}" if region else "")
        )
    if coding := unsupported_transfer_coding(response):
        raise download_error(shown, f"the server sends it in a transfer coding that was not asked for ({coding})")


def read_limited(shown: str, response: requests.Response, most_bytes: int = MAX_SMALL_BYTES) -> bytes:
    """The body, when it is small. Raises ImageError."""
    body = bytearray()
    while piece := response.raw.read1(CHUNK_BYTES):
        body += piece
        _check_size(shown, len(body), most_bytes)
    if response.headers.get("Content-Encoding", "").strip().lower() in _GZIP and body.startswith(_GZIP_MAGIC):
        return _unpacked(shown, bytes(body), most_bytes)
    return bytes(body)


def explain_attempts(tries: int, error: BaseException) -> str:
    """Why there is no other try."""
    why = explain_error(error)
    return why if is_permanent(error) or tries == 1 else f"{tries} tries brought nothing; at the last one {why}"


def _location(response: requests.Response) -> str:
    """Where a redirect leads, one character for each byte; empty when it is none or does not say."""
    status = response.status_code
    if not requests.codes.multiple_choices <= status < requests.codes.bad_request or status == requests.codes.not_modified:
        return ""
    return next((one for one in reversed(response.raw.headers.getlist("Location")) if one.strip()), "")


def _unpacked(shown: str, body: bytes, most_bytes: int) -> bytes:
    """A short text that a server packs though it was asked not to. One that is damaged stays as it is."""
    unpacker = zlib.decompressobj(wbits=31)
    try:
        text = unpacker.decompress(body, most_bytes + 1)
    except zlib.error:
        return body
    _check_size(shown, len(text), most_bytes)
    return text


def _check_size(shown: str, size: int, most_bytes: int) -> None:
    if size > most_bytes:
        raise download_error(shown, f"the server sends more than {most_bytes // 2**20} MiB where a short file was expected")


def parse_web_url(url: str) -> Url:
    """``url`` as one of the web. Raises ImageError."""
    try:
        return parse_url(url)
    except UrlError as error:
        raise download_error(url, f"it cannot be used: {error}") from None


def download_error(shown: str, why: str) -> ImageError:
    """The error for something at ``shown`` that cannot be had."""
    return ImageError("Image cannot be downloaded", f"{redact_url(shown)}: {why}.")
