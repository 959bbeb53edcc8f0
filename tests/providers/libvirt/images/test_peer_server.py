"""The peer server and the download script, both on this machine without libvirt and ssh."""

import json
import os
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path

import pytest

from pragmaspec.net.urls import MAX_REDIRECTS
from pragmaspec.planning.wanted import PublicCopy
from pragmaspec.providers.base import Offer
from pragmaspec.providers.libvirt.images import host_download, peer_offer, peer_server
from pragmaspec.providers.libvirt.images.tls_identity import new_tls_identity
from tests.images.raw_server import RawServer
from tests.web_server import web_server

LIMIT_S = 30
NAME = f"/{'7' * 64}"
CONTENT = os.urandom(3 * 2**20 + 5)


@contextmanager
def serving(*files: Path, address: str = "127.0.0.1") -> Iterator[tuple[Offer, "subprocess.Popen[bytes]"]]:
    identity = new_tls_identity(host_download.PEER_HOST_NAME)
    parts = [{"path": NAME, "size": len(CONTENT), "files": [str(each) for each in files]}]
    config = {"identity": identity.key + identity.certificate, "parts": parts}
    program = Path(peer_server.__file__).read_text()
    environment = {**os.environ, "SSH_CONNECTION": f"192.0.2.1 40000 {address} 22"}
    command = ["sh", "-c", peer_offer.SCRIPT, "sh", program]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write(f"{json.dumps(config)}\n".encode())
        process.stdin.flush()
        line = process.stdout.readline().decode().split()
        paths = (("disk", NAME),)
        yield Offer(address=line[0], port=int(line[1]), certificate=identity.certificate, paths=paths), process
        process.stdin.close()
        assert process.wait(LIMIT_S) == 0


def download(directory: Path, source: host_download.DownloadSource, content: bytes = CONTENT) -> tuple[int, bytes, str]:
    """Exit status, contents of the final file, and standard error."""
    partial, final = directory / "partial", directory / "final"
    partial.touch()
    arguments = (str(partial), str(final), str(len(content)), sha256(content).hexdigest(), "raw")
    command = ["sh", "-c", host_download.SCRIPT, "sh", *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True) as process:
        assert process.stdin
        assert process.stderr
        process.stdin.write(source.script_input)
        process.stdin.flush()
        status = process.wait(LIMIT_S)
        return status, final.read_bytes() if final.exists() else b"", process.stderr.read().decode()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    found = tmp_path / "disk"
    found.write_bytes(CONTENT)
    return found


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_a_file_is_downloaded_from_the_peer(file: Path, tmp_path: Path, address: str) -> None:
    with serving(file, address=address) as (offer, _):
        assert download(tmp_path, host_download.peer_source(offer, "disk", NAME)) == (0, CONTENT, "")


def test_proxies_are_not_used_for_a_peer(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("https_proxy", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with serving(file) as (offer, _):
        assert download(tmp_path, host_download.peer_source(offer, "disk", NAME))[0] == 0


def test_the_peer_is_authenticated_by_its_certificate(file: Path, tmp_path: Path) -> None:
    other = new_tls_identity(host_download.PEER_HOST_NAME).certificate
    with serving(file) as (offer, _):
        source = host_download.peer_source(offer, "disk", NAME)._replace(trusted=other)
        status, came, why = download(tmp_path, source)
    assert (status, came) == (host_download.WRONG_BYTES, b"")
    assert "certificate" in why


@pytest.mark.parametrize("asked", ["GET / ", "GET /.. ", f"GET {NAME}x ", "PUT / ", f"POST {NAME} "])
def test_only_offered_paths_are_served(file: Path, asked: str) -> None:
    with serving(file) as (offer, _):
        trust = ssl.create_default_context(cadata=offer.certificate)
        plain = socket.create_connection((offer.address, offer.port), LIMIT_S)
        with trust.wrap_socket(plain, server_hostname=host_download.PEER_HOST_NAME) as secured:
            secured.sendall(f"{asked}HTTP/1.0\r\n\r\n".encode())
            answer = secured.recv(4096)
    assert answer.split()[1] in (b"404", b"501")
    assert CONTENT[:64] not in answer


def test_a_file_removed_meanwhile_is_still_served(file: Path, tmp_path: Path) -> None:
    with serving(file) as (offer, _):
        file.unlink()
        assert download(tmp_path, host_download.peer_source(offer, "disk", NAME))[:2] == (0, CONTENT)


def test_a_growing_file_is_served_as_it_grows(tmp_path: Path) -> None:
    final, part = tmp_path / "there", tmp_path / "there.part"
    half = len(CONTENT) // 2
    with serving(final, part) as (offer, _), ThreadPoolExecutor(1) as threads:
        (tmp_path / "partial").touch()
        taken = threads.submit(download, tmp_path, host_download.peer_source(offer, "disk", NAME))
        part.write_bytes(CONTENT[:half])
        until = time.monotonic() + LIMIT_S
        while (tmp_path / "partial").stat().st_size < half - 2**18:  # curl buffers a little
            assert time.monotonic() < until
            time.sleep(0.02)
        assert not taken.done()
        with part.open("ab") as file:
            file.write(CONTENT[half:-7])
        final.write_bytes(CONTENT)
        part.unlink()
        assert taken.result(LIMIT_S) == (0, CONTENT, "")


def test_a_stalled_file_times_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "peer_server.py"
    program.write_text(Path(peer_server.__file__).read_text().replace("STALL_LIMIT_S = 30.0", "STALL_LIMIT_S = 0.5"))
    monkeypatch.setattr(peer_server, "__file__", str(program))
    part = tmp_path / "there.part"
    part.write_bytes(CONTENT[:1000])
    with serving(tmp_path / "there", part) as (offer, _):
        status, came, why = download(tmp_path, host_download.peer_source(offer, "disk", NAME))
    assert (status, came) == (host_download.WRONG_BYTES, b"")
    assert "curl: " in why


def test_a_client_without_tls_is_disconnected(file: Path, tmp_path: Path) -> None:
    with serving(file) as (offer, _), socket.create_connection((offer.address, offer.port), LIMIT_S) as plain:
        plain.sendall(f"GET {NAME} HTTP/1.0\r\n\r\n".encode())
        with suppress(ConnectionResetError):
            assert CONTENT[:64] not in plain.recv(4096)
        assert download(tmp_path, host_download.peer_source(offer, "disk", NAME))[0] == 0


def test_an_idle_server_ends(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "peer_server.py"
    program.write_text(Path(peer_server.__file__).read_text().replace("IDLE_LIMIT_S = 120.0", "IDLE_LIMIT_S = 0.5"))
    monkeypatch.setattr(peer_server, "__file__", str(program))
    with serving(file) as (_, process):
        assert process.wait(LIMIT_S) == 0


def test_a_server_without_an_address_fails(file: Path, tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "SSH_CONNECTION"}
    command = [sys.executable, peer_server.__file__]
    done = subprocess.run(command, input=b"{}\n", env=environment, check=False, capture_output=True)
    assert (done.returncode, done.stdout) == (peer_offer.NO_ADDRESS, b"")


def test_a_public_copy_is_downloaded_by_the_same_script(tmp_path: Path) -> None:
    with web_server("127.0.0.1") as web:
        web.content = CONTENT
        web.url += "$(id)`id`'\"&[1-3]{a,b}"
        source = host_download.public_source(PublicCopy(url=web.url))
        assert download(tmp_path, source) == (0, CONTENT, "")
        assert download(tmp_path, source, CONTENT[:-1])[0] == host_download.WRONG_BYTES


def test_a_public_copy_may_have_as_many_redirects_as_a_local_download(tmp_path: Path) -> None:
    def answer(line: str) -> bytes:
        at = int(line.split()[1].strip("/"))
        where = f"HTTP/1.1 302 Found\r\nLocation: /{at + 1}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
        return where.encode() if at < MAX_REDIRECTS else b"HTTP/1.0 200 OK\r\n\r\n" + CONTENT

    with RawServer(answer) as server:
        copy = PublicCopy(url=f"http://127.0.0.1:{server.port}/0")
        assert download(tmp_path, host_download.public_source(copy)) == (0, CONTENT, "")


def test_a_public_copy_is_retried_before_the_first_byte(tmp_path: Path) -> None:
    def answer(_line: str) -> bytes:
        return b"HTTP/1.0 503 Later\r\n\r\n" if len(server.asked) == 1 else b"HTTP/1.0 200 OK\r\n\r\n" + CONTENT

    with RawServer(answer) as server:
        copy = PublicCopy(url=f"http://127.0.0.1:{server.port}/disk")
        assert download(tmp_path, host_download.public_source(copy))[:2] == (0, CONTENT)


def test_https_must_not_redirect_to_http() -> None:
    assert dict(host_download.public_source(PublicCopy(url="https://a/b")).options)["proto-redir"] == "=https"
    assert dict(host_download.public_source(PublicCopy(url="http://a/b")).options)["proto-redir"] == "=http,https"
