"""Responses of servers that are not S3 stores: each ends in an error message."""

import gc
import socket

import pytest

from pragmaspec.errors import StateUnreachableError
from pragmaspec.state.backends.s3.backend import S3Backend
from tests.images.raw_server import RawServer
from tests.state.backends.s3_server import ENVIRONMENT
from tests.state.backends.samples import FAST_RETRY


@pytest.fixture(autouse=True)
def credentials(monkeypatch):
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize(
    ("response", "words"),
    [
        (b"", "no response"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "does not speak HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "does not respond as S3 does: there is no ETag"),
        (b'HTTP/1.1 200 OK\r\nETag: "x"\r\nContent-Length: 2\r\n\r\nok', "there is no LastModified"),
        (b'HTTP/1.1 200 OK\r\nETag: "x"\r\nLast-Modified: 99 Foo\r\nContent-Length: 2\r\n\r\nok', "does not respond as S3 does"),
        (b"HTTP/1.1 302 Found\r\nLocation: http://[::1\r\nContent-Length: 0\r\n\r\n", "cannot be reached"),
        (b"HTTP/1.1 301 Moved\r\nContent-Length: 0\r\n\r\n", "redirects in a loop"),
        (b"HTTP/1.1 403 \xff\r\nContent-Length: 5\r\n\r\n<html", "403|no response"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\na", "contradict|no response"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz", "no response|as S3 does"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", "as S3 does"),
    ],
)
def test_any_response_ends_in_a_clear_error(response, words):
    with RawServer(response) as server, pytest.raises(StateUnreachableError, match=words) as caught:
        S3Backend(f"s3://states/x?endpoint=http://127.0.0.1:{server.port}", FAST_RETRY).read()
    assert str(caught.value).isprintable()


@pytest.fixture
def no_garbage_collection():
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_garbage_collection")
@pytest.mark.parametrize("header", [b"Location: http://[::1", b"Last-Modified: 99 Foo"])
@pytest.mark.parametrize("status", [b"200 OK", b"302 Found"])
def test_a_response_that_cannot_be_used_leaves_no_open_connection(header, status):
    response = b"HTTP/1.1 " + status + b"\r\n" + header + b'\r\nETag: "x"\r\nContent-Length: 2\r\n\r\nok'
    with RawServer(response) as server, pytest.raises(StateUnreachableError):
        S3Backend(f"s3://states/x?endpoint=http://127.0.0.1:{server.port}", FAST_RETRY).read()
    opened = [each for each in gc.get_objects() if isinstance(each, socket.socket) and each.fileno() >= 0]
    assert [each for each in opened if each.getsockname()[1] == server.port or _peer_port(each) == server.port] == []


def _peer_port(found):
    try:
        return found.getpeername()[1]
    except (OSError, IndexError):
        return 0


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("AWS_ENDPOINT_URL", "http://h:99999", "AWS_ENDPOINT_URL is invalid: its port"),
        ("AWS_ENDPOINT_URL_S3", "minio", "AWS_ENDPOINT_URL_S3 is invalid: it does not start with"),
        ("AWS_REGION", "eu central", "cannot be reached"),
        ("https_proxy", "http://h:99999", "the proxy URL in https_proxy is invalid: its port"),
        ("https_proxy", "http://[::1", "the proxy URL in https_proxy is invalid: the brackets"),
        ("HTTPS_PROXY", "ftp://h:21", "the proxy URL in HTTPS_PROXY is invalid: the scheme ftp: is not supported"),
        ("HTTPS_PROXY", "socks5://h:1080", "the proxy URL in HTTPS_PROXY is invalid: the scheme socks5: is not supported"),
    ],
)
def test_invalid_environment_variables_are_reported(name, value, words, monkeypatch):
    monkeypatch.setenv(name, value)
    with pytest.raises(StateUnreachableError, match=words):
        S3Backend("s3://states/x", FAST_RETRY).read()
