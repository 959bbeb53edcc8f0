"""HTTP requests to a server that keeps states: limits, retries, TLS, credentials. What answers mean says `http_protocol`."""

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
from pragmaspec.net.http import Session
from pragmaspec.net.retry import RetryPolicy
from pragmaspec.net.trust import ConfiguredPath, TrustError, tls_context
from pragmaspec.net.urls import redact_url

MAX_BYTES = 512 * 2**20
"""No state is larger; a server that sends more sends something else."""

_PIECE_BYTES = 256 * 1024
_SYSTEM = re.compile(r"\[Errno -?\d+\] ([^:]+)$")
_MOST_SECONDS = 3600.0
_LATER = frozenset({429, 500, 502, 503, 504, 507, 508, 599})


class HttpResponse(NamedTuple):
    """What the server said. ``etag`` is empty unless it is a strong one."""

    status: int
    reason: str
    body: bytes
    etag: str = ""
    location: str = ""
    asked_s: float = 0.0

    @property
    def later(self) -> bool:
        """Whether the same request may fare better later."""
        return self.status in _LATER


class NoResponse(Exception):  # noqa: N818 - the outcome is unknown, which is not the same as an error
    """No whole answer came: the request may have been carried out, now or later, or not at all.

    ``lasting``: another try would fail in the same way.
    """

    def __init__(self, why: str, *, lasting: bool = False) -> None:
        super().__init__(why)
        self.lasting = lasting


class HttpClient:
    """A connection to the server of ``url``. Close it after use. Raises UsageError for credentials that cannot be used."""

    def __init__(self, url: str, patience: RetryPolicy, environ: Mapping[str, str] = os.environ) -> None:
        self._title = redact_url(url)
        self._patience = patience
        self._auth = _authenticator(url, environ)
        self._session = Session(lambda: _context(environ), environ)
        self._session.headers["Accept"] = "application/json"

    def close(self) -> None:
        """Let go of the connection."""
        self._session.close()

    def ask(self, method: str, url: str, body: bytes | None = None, headers: Mapping[str, str] | None = None) -> HttpResponse:
        """One try. Raises NoAnswer, and StateUnreachableError when the server is not to be trusted."""
        sent = dict(headers or {})
        if body is not None:
            digest = md5(body, usedforsecurity=False).digest()
            sent |= {"Content-Type": "application/json", "Content-MD5": b64encode(digest).decode()}
        limits = (self._patience.connect_timeout_s, self._patience.read_timeout_s)
        try:
            with self._session.request(
                method,
                url,
                data=body,
                headers=sent,
                auth=self._auth,
                timeout=limits,
                allow_redirects=False,
                stream=True,
            ) as response:
                return _answer(response, self._received(response))
        except TrustError as error:
            raise self._unusable(error) from None
        except TRANSPORT_ERRORS as error:
            lasting = is_permanent(error)
            if lasting and isinstance(error, requests.exceptions.SSLError):
                raise self._distrusted(error) from None
            raise NoResponse(explain_error(error) if lasting else _words(error), lasting=lasting) from None

    def insist(
        self,
        method: str,
        url: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> HttpResponse:
        """Ask until there is an answer that is not "later". Only for requests that may be carried out twice. Raises NoAnswer."""
        for turn in range(self._patience.tries):
            last = turn + 1 == self._patience.tries
            try:
                answer = self.ask(method, url, body, headers)
            except NoResponse as error:
                if last or error.lasting:
                    raise
                self._patience.wait(turn)
                continue
            if not answer.later or last:
                return answer
            self._patience.wait(turn, answer.asked_s)
        raise NoResponse("it was not asked")

    def _received(self, response: requests.Response) -> bytes:
        pieces: list[bytes] = []
        size = 0
        for piece in response.iter_content(_PIECE_BYTES):
            size += len(piece)
            if size > MAX_BYTES:
                raise NoResponse(f"more than {MAX_BYTES} bytes came")
            pieces.append(piece)
        data = b"".join(pieces)
        wanted = response.headers.get("Content-MD5", "")
        if wanted and data and wanted != b64encode(md5(data, usedforsecurity=False).digest()).decode():
            raise NoResponse("what came does not have the digest that the server announced")
        return data

    def _distrusted(self, error: Exception) -> StateUnreachableError:
        return StateUnreachableError(
            "The server of the state is not to be trusted",
            f"{self._title}: its certificate cannot be verified ({_words(error)}). Nothing was sent. Correct the "
            "server's certificate, or name the file of its authority in PRAGMASPEC_HTTP_CA_FILE.",
        )

    def _unusable(self, error: TrustError) -> StateUnreachableError:
        return StateUnreachableError("A certificate file cannot be used", f"{error}. Nothing was sent to {self._title}.")


def _context(environ: Mapping[str, str]) -> SSLContext:
    """Trust and the client's certificate, as the environment says. Raises TrustError."""
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


def _answer(response: requests.Response, body: bytes) -> HttpResponse:
    etag = response.headers.get("ETag", "")
    after = response.headers.get("Retry-After", "")
    return HttpResponse(
        status=response.status_code,
        reason=(response.reason or "")[:80],
        body=body,
        etag=etag if etag.startswith('"') else "",
        location=redact_url(response.headers.get("Location", "")),
        asked_s=min(float(after), _MOST_SECONDS) if after.isascii() and after.isdigit() else 0.0,
    )


def _authenticator(url: str, environ: Mapping[str, str]) -> Callable[[requests.PreparedRequest], requests.PreparedRequest]:
    """Adds the credentials to a request. Always given, since ``requests`` would otherwise look for some by itself."""
    found = http_credentials(url, environ)
    if found is None and (entry := _in_netrc(url)):
        require_private_transport(url)
        found = Basic(*entry)
    for text in found or ():
        if not text.isprintable():
            raise UsageError("Credentials hold a control character", "A line end, perhaps, that was copied with them.")
    if isinstance(found, Bearer) and not found.token.isascii():
        raise UsageError("Credentials hold a letter beyond ASCII", "No token has one; it was copied with something else.")
    header = _authorization(found)

    def authenticate(request: requests.PreparedRequest) -> requests.PreparedRequest:
        if header:
            request.headers["Authorization"] = header
        return request

    return authenticate


def _in_netrc(url: str) -> tuple[str, str] | None:
    try:
        return get_netrc_auth(url)
    except UnicodeDecodeError:
        raise UsageError("Credentials cannot be read", "The netrc file (NETRC, else ~/.netrc) is not text in UTF-8.") from None


def _authorization(found: Basic | Bearer | None) -> str:
    if isinstance(found, Bearer):
        return f"Bearer {found.token}"
    if isinstance(found, Basic):
        return "Basic " + b64encode(f"{found.username}:{found.password}".encode()).decode()
    return ""


def _words(error: Exception) -> str:
    """What went wrong, without URLs (they may hold secrets) and without the names of library objects."""
    inner: BaseException = error
    while inner.args and isinstance(inner.args[-1], BaseException):
        inner = inner.args[-1]
    reason = getattr(inner, "reason", None)
    if isinstance(reason, BaseException):
        inner = reason
    words = str(inner.args[-1]) if inner.args else ""
    if said := _SYSTEM.search(words):
        return said[1][:200]
    words = words.rpartition(": ")[2] if "object at 0x" in words else words
    return f"{type(inner).__name__}: {words}"[:200] if words and "://" not in words else type(inner).__name__
