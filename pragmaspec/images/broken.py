"""Why a transfer broke off, in words: the cause under the layers of the libraries, and what a person can do about it."""

import socket
import ssl
from collections.abc import Iterator

import requests
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NameResolutionError, ProtocolError, ReadTimeoutError


class BrokenOffError(Exception):
    """The transfer broke off; another try may go on from there. Never leaves :mod:`pragmaspec.images`."""


BROKEN = (BrokenOffError, requests.RequestException, HTTPError)
"""What another try may mend."""

_WHY: tuple[tuple[tuple[type[BaseException], ...], str], ...] = (
    ((requests.exceptions.ProxyError,), "the proxy cannot be reached. See HTTPS_PROXY, HTTP_PROXY and NO_PROXY"),
    (
        (NameResolutionError, socket.gaierror),
        "nobody knows the host by this name. See whether it is written right, and whether this machine's name service answers",
    ),
    ((ConnectionRefusedError,), "the connection was refused. See whether host and port are right, and whether the server runs"),
    ((ReadTimeoutError, requests.exceptions.ReadTimeout), "the server fell silent. Try again later, or give a mirror"),
    (
        (ConnectTimeoutError, requests.exceptions.ConnectTimeout, TimeoutError),
        "the host does not answer. See whether this machine gets there directly, or needs a proxy (HTTPS_PROXY)",
    ),
    ((ConnectionError, ProtocolError), "the connection broke off. Try again later, or give a mirror"),
)
"""Kinds of errors, those that tell most first, with what each means to a person."""


def why_broken(error: BaseException) -> str:
    """Why the transfer broke off, and what to do; without URLs, which may hold secrets, and without a full stop."""
    causes = tuple(_causes(error))
    for cause in causes:
        if isinstance(cause, BrokenOffError):
            return str(cause)
        if isinstance(cause, ssl.SSLCertVerificationError):
            return (
                f"the server's certificate is not accepted ({cause.verify_message}). See whether this machine's clock is right, "
                "and whether it knows the authority (REQUESTS_CA_BUNDLE names a file of more)"
            )
    known = (words for kinds, words in _WHY if any(isinstance(cause, kinds) for cause in causes))
    system = (cause.strerror for cause in causes if isinstance(cause, OSError) and cause.errno and cause.strerror)
    return next(known, None) or next(system, None) or f"the transfer broke off ({type(error).__name__})"


def _causes(error: BaseException, seen: frozenset[int] = frozenset()) -> Iterator[BaseException]:
    """The error, and all that are behind it or in it."""
    yield error
    for inner in (getattr(error, "reason", None), error.__cause__, error.__context__, *error.args):
        if isinstance(inner, BaseException) and id(inner) not in seen:
            seen |= {id(inner)}
            yield from _causes(inner, seen)
