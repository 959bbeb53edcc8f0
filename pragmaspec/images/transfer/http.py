"""HTTP downloads of images: redirects that never drop TLS, limits on size and time, and facts from response headers."""

import re
import time
from collections.abc import Callable, Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Literal, Protocol, TypeVar

import requests

from pragmaspec.errors import ImageError
from pragmaspec.frozen import Frozen
from pragmaspec.net.errors import TRANSPORT_ERRORS, TransferInterruptedError, explain_error, is_permanent, max_attempts
from pragmaspec.net.http import BodyTooLargeError, HttpClient, read_body
from pragmaspec.net.urls import MAX_REDIRECTS, Url, UrlError, is_downgrade, parse_url, redact_url, resolve_reference

MAX_SMALL_BYTES = 8 * 2**20
_TEMPORARY_STATUSES = frozenset({408, 425, 429})
_SERVER_ERROR = 500
_ABSENT = frozenset({404, 410})
_STATUSES_WITH_CONTENT = frozenset(range(200, 300)) - {204, 205}
_NUMBER = re.compile(r"[0-9]{1,19}")
_RANGE = re.compile(r"bytes[ =]([0-9]{1,19})-([0-9]{1,19})/([0-9]{1,19}|\*)", re.IGNORECASE)
_Result = TypeVar("_Result")


class RequestSpec(Frozen, frozen=True):
    """A GET request. ``headers`` may be secret: they are sent to the server of ``url`` only, not to servers it redirects to.

    ``condition`` is the header with which this kind of server resumes only an unchanged file (RFC 9110, section 13.1).
    """

    url: str
    headers: tuple[tuple[str, str], ...] = ()
    condition: Literal["If-Range", "If-Match"] = "If-Range"


class RemoteFile(Protocol):
    """A file on the network, as a value without secrets. Its request is created per attempt, because signatures expire."""

    def display_name(self) -> str:
        """A name without credentials, always the same for the same file."""
        ...

    def request(self, client: "DownloadClient") -> RequestSpec:
        """The request for the file; creating it may itself send requests. Raises ImageError and TRANSPORT_ERRORS."""
        ...


class DownloadClient(HttpClient):
    """An HTTP client whose errors are those of image downloads."""

    def open(self, spec: RequestSpec, headers: Mapping[str, str] | None = None) -> requests.Response:
        """Follow redirects, never from https to http, and return the final response, its body not yet read. Close it after use.

        ``headers`` are also sent to the servers of redirects. Raises ImageError and TRANSPORT_ERRORS.
        """
        url, secret_headers = parse_web_url(spec.url), dict(spec.headers)
        for _ in range(MAX_REDIRECTS):
            response = self.send("GET", url.text, headers={**(headers or {}), **secret_headers})
            location = _location(response)
            if not location:
                return response
            response.close()
            try:
                target = resolve_reference(url, location)
            except UrlError as error:
                raise download_error(url.shown, f"the server redirects to an invalid URL: {error}") from None
            if is_downgrade(url, target):
                raise download_error(url.shown, f"the server redirects to {target.shown}, which is less secure")
            if url.server != target.server:
                secret_headers = {}
            url = target
        raise download_error(url.shown, f"the server sends more than {MAX_REDIRECTS} redirects")

    def read_small(self, file: RemoteFile, max_bytes: int = MAX_SMALL_BYTES) -> bytes | None:
        """Return the content of a small file; None if the server does not have it. Raises ImageError."""
        return self.with_retries(file.display_name(), lambda: self._read_small(file, max_bytes))

    def _read_small(self, file: RemoteFile, max_bytes: int) -> bytes | None:
        with self.open(file.request(self)) as response:
            if response.status_code in _ABSENT:
                return None
            check_status(file.display_name(), response)
            return read_limited(file.display_name(), response, max_bytes)

    def with_retries(self, display_name: str, call: Callable[[], _Result]) -> _Result:
        """Return the result of ``call``, repeated after errors that may be temporary. Raises ImageError."""
        attempts = 0
        while True:
            try:
                return call()
            except TRANSPORT_ERRORS as error:
                attempts += 1
                if attempts >= max_attempts(error, self.policy.tries):
                    raise download_error(display_name, explain_attempts(attempts, error)) from None
            time.sleep(self.policy.pause_s(attempts - 1))


def check_status(display_name: str, response: requests.Response) -> None:
    """Raise TransferInterruptedError for a failure that may be temporary, ImageError for any other."""
    raise_if_temporary(response)
    if response.status_code not in _STATUSES_WITH_CONTENT:
        region = response.headers.get("x-amz-bucket-region", "")
        hint = f"; the bucket is in the region {region[:40]}" if region else ""
        raise download_error(display_name, f"the server answered {_status(response)}{hint}")
    if coding := unsupported_transfer_coding(response):
        raise download_error(display_name, f"the server uses the unsupported transfer coding {coding}")


def raise_if_temporary(response: requests.Response) -> None:
    """Raise TransferInterruptedError if the status is that of a temporary failure."""
    if response.status_code >= _SERVER_ERROR or response.status_code in _TEMPORARY_STATUSES:
        raise TransferInterruptedError(f"the server answered {_status(response)}")


def read_limited(display_name: str, response: requests.Response, max_bytes: int = MAX_SMALL_BYTES) -> bytes:
    """Return the body of a small file. Raises ImageError and TRANSPORT_ERRORS."""
    try:
        return read_body(response, max_bytes)
    except BodyTooLargeError:
        raise download_error(
            display_name, f"the server sends more than {max_bytes // 2**20} MiB where a small file was expected"
        ) from None


def explain_attempts(attempts: int, error: BaseException) -> str:
    """Return the reason for giving up after ``attempts``, as a clause."""
    reason = explain_error(error)
    return reason if is_permanent(error) or attempts == 1 else f"{attempts} attempts failed; the last one: {reason}"


def parse_web_url(url: str) -> Url:
    """Parse an http or https URL. Raises ImageError."""
    try:
        return parse_url(url)
    except UrlError as error:
        raise download_error(url, f"the URL is invalid: {error}") from None


def download_error(display_name: str, reason: str) -> ImageError:
    """Return the error for a file that cannot be downloaded; ``reason`` is a clause."""
    return ImageError("Image cannot be downloaded", f"{redact_url(display_name)}: {reason}.")


def content_range(response: requests.Response) -> tuple[int, int, int | None] | None:
    """First byte, last byte and total length (None if unknown) of ``Content-Range``; None if it is missing or malformed."""
    found = _RANGE.fullmatch(response.headers.get("Content-Range", "").strip())
    return (int(found[1]), int(found[2]), None if found[3] == "*" else int(found[3])) if found else None


def content_length(response: requests.Response) -> int | None:
    """``Content-Length``; None if it is missing, malformed or overridden (RFC 9112, section 6.3)."""
    if response.headers.get("Transfer-Encoding", "").strip():
        return None
    lengths = {length.strip() for length in response.headers.get("Content-Length", "").split(",")}
    return int(lengths.pop()) if len(lengths) == 1 and all(_NUMBER.fullmatch(length) for length in lengths) else None


def unsupported_transfer_coding(response: requests.Response) -> str:
    """A ``Transfer-Encoding`` other than chunked, printable; empty if there is none (RFC 9112, section 6.1)."""
    codings = response.headers.get("Transfer-Encoding", "").strip()
    if codings.lower() == "identity" or all(coding.strip().lower() == "chunked" for coding in codings.split(",") if codings):
        return ""
    return "".join(letter for letter in codings if letter.isprintable())[:40]


def is_complete_at(response: requests.Response, size_bytes: int) -> bool:
    """True if the response says that the file has exactly ``size_bytes``, so that nothing follows (RFC 9110, 15.5.17)."""
    unsatisfiable = response.status_code == requests.codes.requested_range_not_satisfiable
    return unsatisfiable and response.headers.get("Content-Range") == f"bytes */{size_bytes}"


def last_modified(response: requests.Response) -> str:
    """``Last-Modified`` as RFC 3339 in UTC; empty if it is missing or malformed."""
    try:
        return parsedate_to_datetime(response.headers.get("Last-Modified", "")).astimezone(UTC).isoformat(timespec="seconds")
    except (ValueError, OverflowError):
        return ""


def is_web_page(start: bytes) -> bool:
    """True if a file that starts with ``start`` is an HTML page."""
    return start[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith((b"<!doctype html", b"<html", b"<head"))


def _status(response: requests.Response) -> str:
    reason = "".join(letter for letter in response.reason or "" if letter.isprintable())[:80]
    return f"{response.status_code} {reason}".rstrip()


def _location(response: requests.Response) -> str:
    """The target of a redirect, one character per byte; empty if the response is not a redirect or has none."""
    status = response.status_code
    if not requests.codes.multiple_choices <= status < requests.codes.bad_request or status == requests.codes.not_modified:
        return ""
    return next((one for one in reversed(response.raw.headers.getlist("Location")) if one.strip()), "")
