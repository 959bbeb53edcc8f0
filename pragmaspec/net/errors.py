"""Errors of HTTP requests: an explanation for the user, and the decision whether another attempt may succeed."""

import socket
import ssl
from collections.abc import Iterator
from http.client import BadStatusLine, HTTPException, IncompleteRead, LineTooLong, RemoteDisconnected, UnknownProtocol

import requests
from urllib3 import exceptions as urllib3

from pragmaspec.net.trust import TrustError


class TransferInterruptedError(Exception):
    """The transfer was interrupted; another attempt may resume it. Caught in the module that makes the request."""


class ProxyUrlError(Exception):
    """A proxy URL from the environment is invalid; the message is a clause without a full stop."""


TRANSPORT_ERRORS = (
    TransferInterruptedError,
    requests.RequestException,
    urllib3.HTTPError,
    TrustError,
    ProxyUrlError,
    UnicodeError,
)
"""Errors of requests that received no complete response. UnicodeError: a header or a netrc file that is not text."""

MAX_REFUSED_ATTEMPTS = 3
"""A server that is restarting refuses connections for a moment; an absent one refuses all of them."""

_TEMPORARY_RESOLVER_ERRORS = frozenset({socket.EAI_AGAIN, socket.EAI_SYSTEM, socket.EAI_MEMORY})
_ABRUPT_TLS_ENDS = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
_TUNNEL_FAILED = "Tunnel connection failed: "
_INVALID_REQUESTS = (
    requests.exceptions.InvalidURL,
    requests.exceptions.InvalidSchema,
    requests.exceptions.MissingSchema,
    requests.exceptions.InvalidHeader,
    urllib3.LocationValueError,
    urllib3.URLSchemeUnknown,
    urllib3.InvalidHeader,
    UnicodeError,
)

_EXPLANATIONS: tuple[tuple[tuple[type[BaseException], ...], str], ...] = (
    ((urllib3.ProxySchemeUnknown,), "the proxy type is not supported. Check HTTPS_PROXY, HTTP_PROXY and ALL_PROXY"),
    ((requests.exceptions.ProxyError,), "the proxy is unreachable. Check HTTPS_PROXY, HTTP_PROXY and NO_PROXY"),
    (
        (urllib3.NameResolutionError, socket.gaierror),
        "the host name does not resolve. Check its spelling, and the DNS configuration of this machine",
    ),
    ((ConnectionRefusedError,), "the connection was refused. Check the host and port, and that the server is running"),
    (
        (urllib3.ReadTimeoutError, requests.exceptions.ReadTimeout),
        "the server stopped responding. Try again later, or use a mirror",
    ),
    (
        (urllib3.ConnectTimeoutError, requests.exceptions.ConnectTimeout, TimeoutError),
        "the host does not respond. Check whether this machine needs a proxy to reach it (HTTPS_PROXY)",
    ),
    ((requests.exceptions.InvalidHeader, urllib3.InvalidHeader), "the server sent contradictory headers"),
    ((UnicodeError,), "a password, key or header for the server contains a character that HTTP cannot transmit"),
    ((requests.exceptions.InvalidSchema,), "SOCKS proxies require the package PySocks"),
    ((IncompleteRead, urllib3.IncompleteRead), "the transfer ended early. Try again later, or use a mirror"),
    ((ConnectionError, urllib3.ProtocolError), "the connection was lost. Try again later, or use a mirror"),
)
"""Explanations by type of error, the most specific first."""


def explain_error(error: BaseException) -> str:
    """Return the cause and a remedy as a clause without a full stop, and without URLs, which may contain secrets."""
    causes = tuple(_causes(error))
    for cause in causes:
        if isinstance(cause, TransferInterruptedError | TrustError | ProxyUrlError):
            return str(cause)
        if isinstance(cause, ssl.SSLCertVerificationError):
            return (
                f"the server's certificate was rejected ({cause.verify_message}). Check this machine's clock, and that it trusts "
                "the certificate authority (SSL_CERT_FILE or REQUESTS_CA_BUNDLE name a file with additional ones)"
            )
        if isinstance(cause, ssl.SSLError) and not isinstance(cause, _ABRUPT_TLS_ENDS):
            reason = getattr(cause, "reason", None) or "no reason given"
            return f"the TLS handshake failed ({reason}). Check whether the URL should start with http:"
        if isinstance(cause, OSError) and str(cause).startswith(_TUNNEL_FAILED):
            return f"the proxy answered {_printable(str(cause).removeprefix(_TUNNEL_FAILED))}. Check HTTPS_PROXY and its password"
    if any(_is_not_http(cause) for cause in causes):
        return "the server does not speak HTTP. Check the port"
    known = (text for kinds, text in _EXPLANATIONS if any(isinstance(cause, kinds) for cause in causes))
    system = (cause.strerror for cause in causes if isinstance(cause, OSError) and cause.errno and cause.strerror)
    return next(known, None) or next(system, None) or f"the transfer failed ({type(error).__name__})"


def is_permanent(error: BaseException) -> bool:
    """True if another attempt would fail in the same way."""
    causes = tuple(_causes(error))
    if any(isinstance(cause, TransferInterruptedError) for cause in causes):
        return False
    return any(_is_permanent_cause(cause) for cause in causes)


def max_attempts(error: BaseException, limit: int) -> int:
    """Maximum number of attempts, including the failed ones, for a request that failed with ``error``; at most ``limit``."""
    if is_permanent(error):
        return 1
    refused = any(isinstance(cause, ConnectionRefusedError) for cause in _causes(error))
    return min(limit, MAX_REFUSED_ATTEMPTS) if refused else limit


def _is_permanent_cause(cause: BaseException) -> bool:
    if isinstance(cause, requests.exceptions.ProxyError):
        tunnel = next((str(inner) for inner in _causes(cause) if str(inner).startswith(_TUNNEL_FAILED)), "")
        return not tunnel.removeprefix(_TUNNEL_FAILED).startswith("5")
    if isinstance(cause, socket.gaierror):
        return cause.errno not in _TEMPORARY_RESOLVER_ERRORS
    if isinstance(cause, ssl.SSLError):
        return not isinstance(cause, _ABRUPT_TLS_ENDS)
    return isinstance(cause, (*_INVALID_REQUESTS, TrustError, ProxyUrlError)) or _is_not_http(cause)


def _is_not_http(cause: BaseException) -> bool:
    if isinstance(cause, RemoteDisconnected | IncompleteRead):
        return False
    return isinstance(cause, BadStatusLine | LineTooLong | UnknownProtocol) or type(cause) is HTTPException


def _printable(text: str) -> str:
    return "".join(letter for letter in text if letter.isprintable())[:80]


def _causes(error: BaseException, seen: frozenset[int] = frozenset()) -> Iterator[BaseException]:
    """Yield the error and every error that it wraps or was raised from."""
    yield error
    for inner in (getattr(error, "reason", None), error.__cause__, error.__context__, *error.args):
        if isinstance(inner, BaseException) and id(inner) not in seen:
            seen |= {id(inner)}
            yield from _causes(inner, seen)
