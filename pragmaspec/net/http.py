"""HTTP for images and state backends: ``requests`` with the configured trust store, validated proxies, timeouts and limits.

Redirects are never followed here: ``requests`` would read the whole body of a redirect, and fail on a malformed ``Location``.
"""

import http.client
import os
import ssl
import zlib
from collections.abc import Callable, Collection, Mapping
from types import TracebackType
from typing import Any, Self

import requests
from requests.adapters import HTTPAdapter
from requests.utils import get_environ_proxies, select_proxy
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager
from urllib3.connection import HTTPConnection, HTTPSConnection

from pragmaspec.net.errors import ProxyUrlError
from pragmaspec.net.retry import RetryPolicy
from pragmaspec.net.trust import tls_context
from pragmaspec.net.urls import WEB_SCHEMES, Url, UrlError, parse_url, scheme_of
from pragmaspec.typing import override

CHUNK_BYTES = 256 * 1024
_PROXY_SCHEMES = ("http", "https", "socks4", "socks4a", "socks5", "socks5h")
_MAX_INTERIM_RESPONSES = 20
_OK = 200
_SWITCHING_PROTOCOLS = 101
_GZIP = ("gzip", "x-gzip")
_GZIP_MAGIC = b"\x1f\x8b"


class BodyTooLargeError(Exception):
    """The body of a response exceeds the caller's limit."""


class HttpClient:
    """Requests with the timeouts of ``policy``, one attempt each. Close it after use.

    Proxies (``HTTPS_PROXY``, ``NO_PROXY``, …) and ``~/.netrc`` apply as in other programs. ``context`` creates the TLS context
    for the first TLS connection.
    """

    def __init__(
        self,
        policy: RetryPolicy,
        *,
        context: Callable[[], ssl.SSLContext] = tls_context,
        environ: Mapping[str, str] = os.environ,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.policy = policy
        self._session = Session(context, environ)
        self._session.headers.update(headers or {})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | Mapping[str, str] | None = None,
        auth: Callable[[requests.PreparedRequest], requests.PreparedRequest] | None = None,
    ) -> requests.Response:
        """Send one request and return the response, its body not yet read; close it after use. A mapping is sent as a form.

        Without ``auth``, ``~/.netrc`` decides. Raises TRANSPORT_ERRORS.
        """
        return self._session.request(
            method, url, headers=headers, data=body, auth=auth, timeout=self.policy.timeouts_s, allow_redirects=False, stream=True
        )


class Session(requests.Session):
    """A ``requests`` session that follows no redirects, and whose TLS trust comes from ``context`` alone.

    Raises TrustError and ProxyUrlError in addition to the errors of ``requests``.
    """

    def __init__(self, context: Callable[[], ssl.SSLContext] = tls_context, environ: Mapping[str, str] = os.environ) -> None:
        super().__init__()
        self._make_context = context
        self._environ = environ
        self.headers["Accept-Encoding"] = "identity"
        self.adapters.clear()
        self.mount("http://", _Adapter(None))

    @override
    def get_adapter(self, url: str) -> Any:
        if url.lower().startswith("https:") and "https://" not in self.adapters:
            self.mount("https://", _Adapter(self._make_context()))
        return super().get_adapter(url)

    @override
    def get_redirect_target(self, resp: requests.Response) -> str | None:
        return None

    @override
    def prepare_request(self, request: requests.Request) -> requests.PreparedRequest:
        prepared = super().prepare_request(request)
        prepared.url = parse_url(str(request.url)).text  # as written: requests would decode escapes
        return prepared

    @override
    def merge_environment_settings(self, url: Any, proxies: Any, stream: Any, verify: Any, cert: Any) -> Any:
        settings = super().merge_environment_settings(url, proxies, stream, verify, cert)
        proxy = select_proxy(str(url), settings["proxies"])
        if proxy and check_proxy(proxy, self._environ).scheme == "https":
            self.mount("http://", _Adapter(self._make_context()))
        return {**settings, "verify": True}  # the adapter verifies certificates


def read_body(response: requests.Response, max_bytes: int) -> bytes:
    """Return the body, decompressed if the server compressed it unasked. Raises BodyTooLargeError and TRANSPORT_ERRORS."""
    body = bytearray()
    while chunk := response.raw.read1(CHUNK_BYTES):
        body += chunk
        if len(body) > max_bytes:
            raise BodyTooLargeError
    if response.headers.get("Content-Encoding", "").strip().lower() in _GZIP and body.startswith(_GZIP_MAGIC):
        return _decompress(bytes(body), max_bytes)
    return bytes(body)


def strong_etag(response: requests.Response) -> str:
    """Return the ETag, empty if there is none or it is weak."""
    tag = response.headers.get("ETag", "")
    return tag if tag.startswith('"') else ""


def check_environ_proxy(url: str, environ: Mapping[str, str]) -> None:
    """Raise ProxyUrlError if the proxy that the environment configures for ``url`` is not an HTTP proxy."""
    if proxy := get_environ_proxies(url).get(scheme_of(url)):
        check_proxy(proxy, environ, WEB_SCHEMES)


def check_proxy(proxy: str, environ: Mapping[str, str], schemes: Collection[str] = _PROXY_SCHEMES) -> Url:
    """Parse the URL of a proxy from ``environ``. Raises ProxyUrlError."""
    try:
        return parse_url(proxy if "://" in proxy else f"http://{proxy}", schemes)
    except UrlError as error:
        names = [name for name, value in environ.items() if value == proxy and name.lower().endswith("_proxy")]
        raise ProxyUrlError(f"the proxy URL in {' and '.join(names) or 'the environment'} is invalid: {error}") from None


def _decompress(body: bytes, max_bytes: int) -> bytes:
    """Return the content of a gzip stream; a damaged stream as it is."""
    decompressor = zlib.decompressobj(wbits=31)
    try:
        content = decompressor.decompress(body, max_bytes + 1)
    except zlib.error:
        return body
    if len(content) > max_bytes:
        raise BodyTooLargeError
    return content


class _Adapter(HTTPAdapter):
    """An adapter that uses the given TLS context without the additions of ``requests``."""

    def __init__(self, context: ssl.SSLContext | None) -> None:
        self._context = context
        super().__init__()

    @override
    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **more: Any) -> None:
        super().init_poolmanager(connections, maxsize, block, ssl_context=self._context, **more)
        _skip_interim_responses(self.poolmanager)

    @override
    def proxy_manager_for(self, proxy: str, **more: Any) -> Any:
        if proxy.lower().startswith("socks"):
            return super().proxy_manager_for(proxy, ssl_context=self._context, **more)
        manager = super().proxy_manager_for(proxy, ssl_context=self._context, proxy_ssl_context=self._context, **more)
        _skip_interim_responses(manager)
        return manager

    @override
    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        conn.cert_reqs = "CERT_REQUIRED"  # by the context alone


class _FinalResponse(http.client.HTTPResponse):
    """A response without preceding interim ones, such as 103 Early Hints (RFC 9110, section 15.2)."""

    @override
    def begin(self) -> None:
        super().begin()
        for _ in range(_MAX_INTERIM_RESPONSES):
            if not http.client.CONTINUE <= self.status < _OK or self.status == _SWITCHING_PROTOCOLS:
                return
            self.headers = self.msg = None  # type: ignore[assignment]  # as before the first response
            super().begin()


class _Connection(HTTPConnection):
    response_class = _FinalResponse


class _SecureConnection(HTTPSConnection):
    response_class = _FinalResponse


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


def _skip_interim_responses(manager: PoolManager) -> None:
    manager.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}
