import socket
import ssl
from http.client import BadStatusLine, HTTPException, RemoteDisconnected

import pytest
import requests
from requests.exceptions import ProxyError
from urllib3 import exceptions as urllib3

from pragmaspec.errors import ImageError
from pragmaspec.images.transfer.http import DownloadClient
from pragmaspec.images.transfer.policy import TransferPolicy
from pragmaspec.net.errors import ProxyUrlError, TransferInterruptedError, explain_error, is_permanent, max_attempts
from pragmaspec.net.http import Session
from pragmaspec.net.trust import TrustError
from tests.images.raw_server import RawServer
from tests.net.authority import Authority, tls_server


def behind(cause: BaseException, error: Exception | None = None) -> Exception:
    outer = error or requests.exceptions.ConnectionError("outside")
    outer.__cause__ = cause
    return outer


def unverified() -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "refused")
    error.verify_message = "self-signed certificate"
    return error


@pytest.mark.parametrize(
    ("error", "tries", "words"),
    [
        (behind(socket.gaierror(socket.EAI_NONAME, "Name or service not known")), 1, "the host name does not resolve"),
        (behind(socket.gaierror(socket.EAI_AGAIN, "Temporary failure")), 5, "DNS configuration"),
        (behind(ConnectionRefusedError(111, "Connection refused")), 3, "the connection was refused"),
        (behind(unverified()), 1, r"rejected \(self-signed certificate\)"),
        (behind(ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number")), 1, "should start with http:"),
        (behind(ssl.SSLEOFError(8, "EOF")), 5, "EOF"),
        (
            behind(OSError("Tunnel connection failed: 407 Proxy \x1b[31m"), ProxyError()),
            1,
            r"answered 407 Proxy \[31m\.",
        ),
        (behind(OSError("Tunnel connection failed: 503 Later"), ProxyError()), 5, "the proxy answered 503 Later"),
        (ProxyError("away"), 1, "the proxy is unreachable"),
        (requests.exceptions.InvalidSchema("Missing dependencies for SOCKS support."), 1, "PySocks"),
        (behind(urllib3.LocationParseError("h")), 1, "the transfer failed"),
        (behind(urllib3.ProxySchemeUnknown("ftp")), 1, "type is not supported"),
        (requests.exceptions.InvalidHeader("two lengths"), 1, "contradict"),
        (UnicodeEncodeError("latin-1", "€", 0, 1, "no"), 1, "a character that HTTP cannot transmit"),
        (behind(BadStatusLine("SSH-2.0")), 1, "does not speak HTTP"),
        (behind(HTTPException("got more than 100 headers")), 1, "does not speak HTTP"),
        (behind(RemoteDisconnected("closed")), 5, "connection was lost"),
        (behind(TimeoutError("timed out")), 5, "does not respond"),
        (TransferInterruptedError("the server said 503"), 5, "the server said 503"),
        (TrustError("X names y, which is not there"), 1, "X names y"),
        (ProxyUrlError("the proxy URL in http_proxy is invalid"), 1, "http_proxy"),
        (behind(OSError(5, "Input/output error")), 5, "Input/output error"),
        (urllib3.HTTPError(), 5, r"failed \(HTTPError\)"),
    ],
)
def test_each_error_has_an_explanation_and_a_number_of_attempts(error: Exception, tries: int, words: str) -> None:
    assert max_attempts(error, 5) == tries
    assert is_permanent(error) is (tries == 1)
    with pytest.raises(ValueError, match=words):
        raise ValueError(explain_error(error))


@pytest.mark.parametrize(
    ("proxy", "words"),
    [
        ("http://[::1", "the proxy URL in https?_proxy.* is invalid: the brackets"),
        ("http://h:99999", "its port is not between 1 and 65535"),
        ("h:99999", "its port is not between 1 and 65535"),
        ("ftp://h:1", "the scheme ftp: is not supported"),
        ("http://me:canary@:1", "has no host"),
    ],
)
def test_an_invalid_proxy_url_is_reported_with_its_variable(proxy: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", proxy)
    with pytest.raises(ProxyUrlError, match=words) as refused:
        Session().get("http://images.example.org/x")
    assert "canary" not in str(refused.value)


def test_a_proxy_may_use_tls(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = Authority(tmp_path_factory.mktemp("proxy"))
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    with tls_server(authority.context()) as port:
        monkeypatch.setenv("http_proxy", f"https://127.0.0.1:{port}")
        with Session() as session:
            assert session.get("http://images.example.org/x").text == "ok"


def test_a_proxy_that_requires_a_password_is_not_retried(monkeypatch: pytest.MonkeyPatch) -> None:
    with RawServer(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n") as proxy:
        monkeypatch.setenv("https_proxy", f"127.0.0.1:{proxy.port}")
        with (
            DownloadClient(TransferPolicy(first_pause_s=60)) as web,
            pytest.raises(ImageError, match="the proxy answered 407 Proxy Auth"),
        ):
            web.with_retries("it", lambda: web._session.get("https://images.example.org/x"))
        assert len(proxy.asked) == 1
