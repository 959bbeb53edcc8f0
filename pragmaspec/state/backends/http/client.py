"""HTTP client for a state server: size limit, retries, TLS, credentials. :mod:`.protocol` interprets the responses."""

import os
import re
from base64 import b64encode
from collections.abc import Callable, Mapping
from hashlib import md5
from ssl import SSLContext
from typing import NamedTuple

import requests
from requests.utils import get_netrc_auth

from pragmaspec.credentials import Basic, Bearer, http_credentials, require_private_transport
from pragmaspec.errors import StateUnreachableError, UsageError
from pragmaspec.net.errors import TRANSPORT_ERRORS, explain_error, is_permanent
from pragmaspec.net.http import CHUNK_BYTES, HttpClient, strong_etag
from pragmaspec.net.retry import RetryPolicy
from pragmaspec.net.trust import ConfiguredPath, TrustError, tls_context
from pragmaspec.net.urls import redact_url

MAX_BYTES = 512 * 2**20
"""No state is larger than this."""

_SYSTEM_ERROR = re.compile(r"\[Errno -?\d+\] ([^:]+)$")
_MAX_RETRY_AFTER_S = 3600.0
_RETRYABLE = frozenset({429, 500, 502, 503, 504, 507, 508, 599})


class HttpResponse(NamedTuple):
    """A complete response. ``etag`` is empty unless it is a strong one."""

    status: int
    reason: str
    body: bytes
    etag: str = ""
    location: str = ""
    retry_after_s: float = 0.0

    @property
    def retryable(self) -> bool:
        """True if the same request may succeed later."""
        return self.status in _RETRYABLE


class NoResponse(Exception):  # noqa: N818 - the outcome is unknown, which is not the same as an error
    """There was no complete response: the request may be carried out, now or later, or not at all.

    ``permanent``: another attempt would fail in the same way.
    """

    def __init__(self, reason: str, *, permanent: bool = False) -> None:
        super().__init__(reason)
        self.permanent = permanent


class StateHttpClient:
    """A connection to the server of ``url``. Close it after use. Raises UsageError for credentials that cannot be used."""

    def __init__(self, url: str, retry: RetryPolicy, environ: Mapping[str, str] = os.environ) -> None:
        self._title = redact_url(url)
        self._retry = retry
        self._auth = _authenticator(url, environ)
        self._client = HttpClient(
            retry, context=lambda: _tls_context(environ), environ=environ, headers={"Accept": "application/json"}
        )

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def send(self, method: str, url: str, body: bytes | None = None, headers: Mapping[str, str] | None = None) -> HttpResponse:
        """Send a request once. Raises NoResponse, and StateUnreachableError if the server is not trusted."""
        sent = dict(headers or {})
        if body is not None:
            sent |= {"Content-Type": "application/json", "Content-MD5": _md5(body)}
        try:
            with self._client.send(method, url, headers=sent, body=body, auth=self._auth) as response:
                return _complete(response)
        except TrustError as error:
            detail = f"{error}. Nothing was sent to {self._title}."
            raise StateUnreachableError("A certificate file cannot be used", detail) from None
        except TRANSPORT_ERRORS as error:
            permanent = is_permanent(error)
            if permanent and isinstance(error, requests.exceptions.SSLError):
                raise StateUnreachableError(
                    "The state server is not trusted",
                    f"{self._title}: its certificate cannot be verified ({_reason(error)}). Nothing was sent. Correct the "
                    "certificate of the server, or name the file of its certificate authority in PRAGMASPEC_HTTP_CA_FILE.",
                ) from None
            raise NoResponse(explain_error(error) if permanent else _reason(error), permanent=permanent) from None

    def send_with_retries(
        self,
        method: str,
        url: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> HttpResponse:
        """Send a request until there is a response that is not retryable. For idempotent requests only. Raises NoResponse."""
        for attempt in range(self._retry.tries):
            last = attempt + 1 == self._retry.tries
            try:
                response = self.send(method, url, body, headers)
            except NoResponse as error:
                if last or error.permanent:
                    raise
                self._retry.wait(attempt)
                continue
            if not response.retryable or last:
                return response
            self._retry.wait(attempt, response.retry_after_s)
        raise NoResponse("no attempt was made")


def _complete(response: requests.Response) -> HttpResponse:
    """Read the body of ``response``. Raises NoResponse if it is too large or damaged."""
    after = response.headers.get("Retry-After", "")
    return HttpResponse(
        status=response.status_code,
        reason=(response.reason or "")[:80],
        body=_read_body(response),
        etag=strong_etag(response),
        location=redact_url(response.headers.get("Location", "")),
        retry_after_s=min(float(after), _MAX_RETRY_AFTER_S) if after.isascii() and after.isdigit() else 0.0,
    )


def _read_body(response: requests.Response) -> bytes:
    body = bytearray()
    for chunk in response.iter_content(CHUNK_BYTES):
        body += chunk
        if len(body) > MAX_BYTES:
            raise NoResponse(f"the response has more than {MAX_BYTES} bytes")
    expected = response.headers.get("Content-MD5", "")
    if expected and body and expected != _md5(body):
        raise NoResponse("the response does not match its Content-MD5")
    return bytes(body)


def _md5(body: bytes | bytearray) -> str:
    return b64encode(md5(body, usedforsecurity=False).digest()).decode()


def _tls_context(environ: Mapping[str, str]) -> SSLContext:
    """Return a TLS context with the trust and the client certificate that the environment names. Raises TrustError."""
    bundle, own = environ.get("PRAGMASPEC_HTTP_CA_FILE", ""), environ.get("PRAGMASPEC_HTTP_CERT_FILE", "")
    certificate = ConfiguredPath("PRAGMASPEC_HTTP_CERT_FILE", own)
    key = ConfiguredPath("PRAGMASPEC_HTTP_KEY_FILE", environ.get("PRAGMASPEC_HTTP_KEY_FILE", ""))
    if key.path and not own:
        raise key.error("but no certificate is configured for it; set PRAGMASPEC_HTTP_CERT_FILE")
    return tls_context(
        environ,
        bundle=ConfiguredPath("PRAGMASPEC_HTTP_CA_FILE", bundle) if bundle else None,
        own=(certificate, key if key.path else certificate) if own else None,
    )


def _authenticator(url: str, environ: Mapping[str, str]) -> Callable[[requests.PreparedRequest], requests.PreparedRequest]:
    """Return a function that adds the credentials to a request, or none, so that ``requests`` does not search for any."""
    found = http_credentials(url, environ)
    if found is None and (entry := _netrc_entry(url)):
        require_private_transport(url)
        found = Basic(*entry)
    if any(not text.isprintable() for text in found or ()):
        raise UsageError("Credentials contain a control character", "Perhaps a line end that was copied with them.")
    if isinstance(found, Bearer) and not found.token.isascii():
        raise UsageError("Token contains a non-ASCII character", "No token has one; probably other text was copied with it.")
    header = _authorization(found)

    def authenticate(request: requests.PreparedRequest) -> requests.PreparedRequest:
        if header:
            request.headers["Authorization"] = header
        return request

    return authenticate


def _netrc_entry(url: str) -> tuple[str, str] | None:
    try:
        return get_netrc_auth(url)
    except UnicodeDecodeError:
        raise UsageError("Credentials cannot be read", "The netrc file (NETRC, else ~/.netrc) is not UTF-8 text.") from None


def _authorization(credentials: Basic | Bearer | None) -> str:
    if isinstance(credentials, Bearer):
        return f"Bearer {credentials.token}"
    if isinstance(credentials, Basic):
        return "Basic " + b64encode(f"{credentials.username}:{credentials.password}".encode()).decode()
    return ""


def _reason(error: Exception) -> str:
    """Return the cause of ``error``, without URLs (they may contain secrets) and without object representations."""
    inner: BaseException = error
    while inner.args and isinstance(inner.args[-1], BaseException):
        inner = inner.args[-1]
    reason = getattr(inner, "reason", None)
    if isinstance(reason, BaseException):
        inner = reason
    words = str(inner.args[-1]) if inner.args else ""
    if match := _SYSTEM_ERROR.search(words):
        return match[1][:200]
    words = words.rpartition(": ")[2] if "object at 0x" in words else words
    return f"{type(inner).__name__}: {words}"[:200] if words and "://" not in words else type(inner).__name__
