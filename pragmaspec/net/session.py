"""Sessions of ``requests`` with the manners of this program: who is trusted, which answers count, which proxies are sound.

Redirects are the caller's business: ``requests`` would read the whole body of one, and stumble over a bad ``Location``.
"""

import http.client
import os
import ssl
from collections.abc import Callable, Collection, Mapping
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from requests.utils import get_environ_proxies, select_proxy
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager
from urllib3.connection import HTTPConnection, HTTPSConnection

from pragmaspec.net.trust import tls_context
from pragmaspec.net.urls import WEB_SCHEMES, Url, UrlError, parse_url, scheme_of

_PROXIES = ("http", "https", "socks4", "socks4a", "socks5", "socks5h")
_MOST_INTERIM = 20
_OK = 200
_SWITCHING = 101


class ProxyUrlError(Exception):
    """A proxy that the environment names cannot be one: a sentence without a full stop."""


class Session(requests.Session):
    """A session that follows no redirects. ``context`` makes what TLS connections are made with, when the first one is.

    Requests raise TrustError and ProxyUrlError beside what ``requests`` raises.
    """

    def __init__(self, context: Callable[[], ssl.SSLContext] = tls_context, environ: Mapping[str, str] = os.environ) -> None:
        super().__init__()
        self._make_context = context
        self._environ = environ
        self.headers["Accept-Encoding"] = "identity"
        self.adapters.clear()
        self.mount("http://", _Adapter(None))

    def get_adapter(self, url: str) -> Any:  # noqa: ANN401 - the type of requests' stubs
        """The adapter for ``url``; the one for https is made when it is first needed."""
        if url.lower().startswith("https:") and "https://" not in self.adapters:
            self.mount("https://", _Adapter(self._make_context()))
        return super().get_adapter(url)

    def get_redirect_target(self, resp: requests.Response) -> str | None:  # noqa: ARG002 - the name is requests'
        """None: nothing is followed."""
        return None

    def prepare_request(self, request: requests.Request) -> requests.PreparedRequest:
        """As in the base class, but the URL is asked for as it is written: ``requests`` would undo escapes."""
        prepared = super().prepare_request(request)
        prepared.url = parse_url(str(request.url)).text
        return prepared

    def merge_environment_settings(self, url: Any, proxies: Any, stream: Any, verify: Any, cert: Any) -> Any:  # noqa: ANN401 - requests'
        """The proxy for ``url``, after a look at whether it can be one; certificates are the adapter's business."""
        settings = super().merge_environment_settings(url, proxies, stream, verify, cert)
        proxy = select_proxy(str(url), settings["proxies"])
        if proxy and check_proxy(proxy, self._environ).scheme == "https":
            self.mount("http://", _Adapter(self._make_context()))
        return {**settings, "verify": True}


def check_environ_proxy(url: str, environ: Mapping[str, str]) -> None:
    """Raise ProxyUrlError for a proxy to ``url`` that a library would take from the environment, and cannot use."""
    if proxy := get_environ_proxies(url).get(scheme_of(url)):
        check_proxy(proxy, environ, WEB_SCHEMES)


def check_proxy(proxy: str, environ: Mapping[str, str], schemes: Collection[str] = _PROXIES) -> Url:
    """The URL of a proxy that ``environ`` names. Raises ProxyUrlError when it cannot be one."""
    try:
        return parse_url(proxy if "://" in proxy else f"http://{proxy}", schemes)
    except UrlError as error:
        names = [name for name, value in environ.items() if value == proxy and name.lower().endswith("_proxy")]
        raise ProxyUrlError(f"the proxy that {' or '.join(names) or 'the environment'} names cannot be used: {error}") from None


class _Adapter(HTTPAdapter):
    """Connections with the given trust, and nothing of what ``requests`` would add to it."""

    def __init__(self, context: ssl.SSLContext | None) -> None:
        self._context = context
        super().__init__()

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **more: Any) -> None:  # noqa: ANN401
        """As in the base class."""
        super().init_poolmanager(connections, maxsize, block, ssl_context=self._context, **more)
        _let_interim_pass(self.poolmanager)

    def proxy_manager_for(self, proxy: str, **more: Any) -> Any:  # noqa: ANN401 - requests'
        """As in the base class."""
        if proxy.lower().startswith("socks"):
            return super().proxy_manager_for(proxy, ssl_context=self._context, **more)
        manager = super().proxy_manager_for(proxy, ssl_context=self._context, proxy_ssl_context=self._context, **more)
        _let_interim_pass(manager)
        return manager

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:  # noqa: ANN401, ARG002 - requests'
        """Certificates are verified by the context alone."""
        conn.cert_reqs = "CERT_REQUIRED"


class _Answer(http.client.HTTPResponse):
    """An answer without the interim ones before it, such as 103 Early Hints (RFC 9110, section 15.2)."""

    def begin(self) -> None:
        """Read up to the end of the headers of the final answer."""
        super().begin()
        for _ in range(_MOST_INTERIM):
            if not http.client.CONTINUE <= self.status < _OK or self.status == _SWITCHING:
                return
            self.headers = self.msg = None  # type: ignore[assignment]  # as before the first answer
            super().begin()


class _Connection(HTTPConnection):
    response_class = _Answer


class _SecureConnection(HTTPSConnection):
    response_class = _Answer


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


def _let_interim_pass(manager: PoolManager) -> None:
    manager.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}
