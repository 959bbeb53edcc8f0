"""Requests that brought no answer: why, in words, what a person can do about it, and whether another try may fare better."""

import socket
import ssl
from collections.abc import Iterator
from http.client import BadStatusLine, HTTPException, IncompleteRead, LineTooLong, RemoteDisconnected, UnknownProtocol

import requests
from urllib3 import exceptions as urllib3

from pragmaspec.net.session import ProxyUrlError
from pragmaspec.net.trust import TrustError


class TransferInterruptedError(Exception):
    """The transfer broke off; another try may go on from there. Never leaves the module that makes the request."""


TRANSPORT_ERRORS = (
    TransferInterruptedError,
    requests.RequestException,
    urllib3.HTTPError,
    TrustError,
    ProxyUrlError,
    UnicodeError,
)
"""Errors of a request without an answer. UnicodeError: a header or a password file that is not text."""

MAX_REFUSED_ATTEMPTS = 3
"""A server that is being restarted refuses connections for a moment; one that is not there does for ever."""

_FOR_NOW = frozenset({socket.EAI_AGAIN, socket.EAI_SYSTEM, socket.EAI_MEMORY})
_BY_ACCIDENT = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
_TUNNEL = "Tunnel connection failed: "
_UNSOUND = (
    requests.exceptions.InvalidURL,
    requests.exceptions.InvalidSchema,
    requests.exceptions.MissingSchema,
    requests.exceptions.InvalidHeader,
    urllib3.LocationValueError,
    urllib3.URLSchemeUnknown,
    urllib3.InvalidHeader,
    UnicodeError,
)

_WHY: tuple[tuple[tuple[type[BaseException], ...], str], ...] = (
    ((urllib3.ProxySchemeUnknown,), "the proxy is of a kind that is not known. See HTTPS_PROXY, HTTP_PROXY and ALL_PROXY"),
    ((requests.exceptions.ProxyError,), "the proxy cannot be reached. See HTTPS_PROXY, HTTP_PROXY and NO_PROXY"),
    (
        (urllib3.NameResolutionError, socket.gaierror),
        "no host is known by this name. See whether it is written right, and whether this machine's name service answers",
    ),
    ((ConnectionRefusedError,), "the connection was refused. See whether host and port are right, and whether the server runs"),
    ((urllib3.ReadTimeoutError, requests.exceptions.ReadTimeout), "the server fell silent. Try again later, or give a mirror"),
    (
        (urllib3.ConnectTimeoutError, requests.exceptions.ConnectTimeout, TimeoutError),
        "the host does not answer. See whether this machine gets there directly, or needs a proxy (HTTPS_PROXY)",
    ),
    ((requests.exceptions.InvalidHeader, urllib3.InvalidHeader), "the server's headers contradict each other"),
    ((UnicodeError,), "a password, key or header for the server has a character that cannot be sent"),
    ((requests.exceptions.InvalidSchema,), "a SOCKS proxy needs the package PySocks"),
    ((IncompleteRead, urllib3.IncompleteRead), "the transfer ended early. Try again later, or give a mirror"),
    ((ConnectionError, urllib3.ProtocolError), "the connection broke off. Try again later, or give a mirror"),
)
"""Kinds of errors, the most telling first, with what each means to a person."""


def explain_error(error: BaseException) -> str:
    """Why the transfer broke off, and what to do; without URLs, which may hold secrets, and without a full stop."""
    causes = tuple(_causes(error))
    for cause in causes:
        if isinstance(cause, TransferInterruptedError | TrustError | ProxyUrlError):
            return str(cause)
        if isinstance(cause, ssl.SSLCertVerificationError):
            return (
                f"the server's certificate is not accepted ({cause.verify_message}). See whether this machine's clock is right, "
                "and whether it knows the authority (SSL_CERT_FILE or REQUESTS_CA_BUNDLE name a file of more)"
            )
        if isinstance(cause, ssl.SSLError) and not isinstance(cause, _BY_ACCIDENT):
            reason = getattr(cause, "reason", None) or "it was not told why"
            return f"no TLS connection came about ({reason}). See whether it should be http:"
        if isinstance(cause, OSError) and str(cause).startswith(_TUNNEL):
            return f"the proxy said {_printable(str(cause).removeprefix(_TUNNEL))}. See HTTPS_PROXY, and the password in it"
    if any(_is_no_http(cause) for cause in causes):
        return "the server does not answer in HTTP. See whether the port is right"
    known = (words for kinds, words in _WHY if any(isinstance(cause, kinds) for cause in causes))
    system = (cause.strerror for cause in causes if isinstance(cause, OSError) and cause.errno and cause.strerror)
    return next(known, None) or next(system, None) or f"the transfer broke off ({type(error).__name__})"


def is_permanent(error: BaseException) -> bool:
    """True if another try would fail in the same way."""
    causes = tuple(_causes(error))
    if any(isinstance(cause, TransferInterruptedError) for cause in causes):
        return False
    return any(_lasts(cause) for cause in causes)


def max_attempts(error: BaseException, most: int) -> int:
    """How often in all a request is made that fails with ``error``, at most ``most`` times."""
    if is_permanent(error):
        return 1
    refused = any(isinstance(cause, ConnectionRefusedError) for cause in _causes(error))
    return min(most, MAX_REFUSED_ATTEMPTS) if refused else most


def _lasts(cause: BaseException) -> bool:
    if isinstance(cause, requests.exceptions.ProxyError):
        tunnel = next((str(inner) for inner in _causes(cause) if str(inner).startswith(_TUNNEL)), "")
        return not tunnel.removeprefix(_TUNNEL).startswith("5")
    if isinstance(cause, socket.gaierror):
        return cause.errno not in _FOR_NOW
    if isinstance(cause, ssl.SSLError):
        return not isinstance(cause, _BY_ACCIDENT)
    return isinstance(cause, (*_UNSOUND, TrustError, ProxyUrlError)) or _is_no_http(cause)


def _is_no_http(cause: BaseException) -> bool:
    if isinstance(cause, RemoteDisconnected | IncompleteRead):
        return False
    return isinstance(cause, BadStatusLine | LineTooLong | UnknownProtocol) or type(cause) is HTTPException


def _printable(text: str) -> str:
    return "".join(letter for letter in text if letter.isprintable())[:80]


def _causes(error: BaseException, seen: frozenset[int] = frozenset()) -> Iterator[BaseException]:
    """The error, and all that are behind it or in it."""
    yield error
    for inner in (getattr(error, "reason", None), error.__cause__, error.__context__, *error.args):
        if isinstance(inner, BaseException) and id(inner) not in seen:
            seen |= {id(inner)}
            yield from _causes(inner, seen)
