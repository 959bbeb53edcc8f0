"""What a host runs to hand files out, and what another runs to take one, both on this machine: no libvirt, no ssh."""

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
from pragmaspec.providers.libvirt.images.peer_offer import new_tls_identity
from tests.images.raw_server import RawServer
from tests.web_server import web_server

LIMIT_S = 30
NAME = f"/{'7' * 64}"
CONTENT = os.urandom(3 * 2**20 + 5)


@contextmanager
def handed_out(*files: Path, address: str = "127.0.0.1") -> Iterator[tuple[Offer, "subprocess.Popen[bytes]"]]:
    identity = new_tls_identity(host_download.PEER_HOST_NAME)
    parts = [{"path": NAME, "size": len(CONTENT), "files": [str(each) for each in files]}]
    told = {"identity": identity.key + identity.certificate, "parts": parts}
    program = Path(peer_server.__file__).read_text()
    environment = {**os.environ, "SSH_CONNECTION": f"192.0.2.1 40000 {address} 22"}
    command = ["sh", "-c", peer_offer.SCRIPT, "sh", program]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write(f"{json.dumps(told)}\n".encode())
        process.stdin.flush()
        said = process.stdout.readline().decode().split()
        paths = (("disk", NAME),)
        yield Offer(address=said[0], port=int(said[1]), certificate=identity.certificate, paths=paths), process
        process.stdin.close()
        assert process.wait(LIMIT_S) == 0


def fetched(directory: Path, source: host_download.DownloadSource, content: bytes = CONTENT) -> tuple[int, bytes, str]:
    """Exit status, what came under its own name, and what was complained about."""
    coming, final = directory / "coming", directory / "final"
    coming.touch()
    arguments = (str(coming), str(final), str(len(content)), sha256(content).hexdigest(), "raw")
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
def test_a_file_is_handed_over(file: Path, tmp_path: Path, address: str) -> None:
    with handed_out(file, address=address) as (offer, _):
        assert fetched(tmp_path, host_download.peer_source(offer, "disk", NAME)) == (0, CONTENT, "")


def test_the_hosts_proxies_are_not_asked_for_a_neighbour(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("https_proxy", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with handed_out(file) as (offer, _):
        assert fetched(tmp_path, host_download.peer_source(offer, "disk", NAME))[0] == 0


def test_only_the_certificate_says_that_it_is_the_neighbour(file: Path, tmp_path: Path) -> None:
    other = new_tls_identity(host_download.PEER_HOST_NAME).certificate
    with handed_out(file) as (offer, _):
        source = host_download.peer_source(offer, "disk", NAME)._replace(trusted=other)
        status, came, why = fetched(tmp_path, source)
    assert (status, came) == (host_download.WRONG_BYTES, b"")
    assert "certificate" in why


@pytest.mark.parametrize("asked", ["GET / ", "GET /.. ", f"GET {NAME}x ", "PUT / ", f"POST {NAME} "])
def test_nothing_but_what_was_named_is_handed_out(file: Path, asked: str) -> None:
    with handed_out(file) as (offer, _):
        trust = ssl.create_default_context(cadata=offer.certificate)
        plain = socket.create_connection((offer.address, offer.port), LIMIT_S)
        with trust.wrap_socket(plain, server_hostname=host_download.PEER_HOST_NAME) as secured:
            secured.sendall(f"{asked}HTTP/1.0\r\n\r\n".encode())
            answer = secured.recv(4096)
    assert answer.split()[1] in (b"404", b"501")
    assert CONTENT[:64] not in answer


def test_it_stays_a_file_that_was_removed_meanwhile(file: Path, tmp_path: Path) -> None:
    with handed_out(file) as (offer, _):
        file.unlink()
        assert fetched(tmp_path, host_download.peer_source(offer, "disk", NAME))[:2] == (0, CONTENT)


def test_what_is_coming_is_handed_on_as_it_comes(tmp_path: Path) -> None:
    final, part = tmp_path / "there", tmp_path / "there.part"
    half = len(CONTENT) // 2
    with handed_out(final, part) as (offer, _), ThreadPoolExecutor(1) as threads:
        (tmp_path / "coming").touch()
        taken = threads.submit(fetched, tmp_path, host_download.peer_source(offer, "disk", NAME))
        part.write_bytes(CONTENT[:half])
        until = time.monotonic() + LIMIT_S
        while (tmp_path / "coming").stat().st_size < half - 2**18:  # curl keeps a little back
            assert time.monotonic() < until
            time.sleep(0.02)
        assert not taken.done()
        with part.open("ab") as file:
            file.write(CONTENT[half:-7])
        final.write_bytes(CONTENT)
        part.unlink()
        assert taken.result(LIMIT_S) == (0, CONTENT, "")


def test_what_stops_coming_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    impatient = tmp_path / "peer_server.py"
    impatient.write_text(Path(peer_server.__file__).read_text().replace("STALL_LIMIT_S = 30.0", "STALL_LIMIT_S = 0.5"))
    monkeypatch.setattr(peer_server, "__file__", str(impatient))
    part = tmp_path / "there.part"
    part.write_bytes(CONTENT[:1000])
    with handed_out(tmp_path / "there", part) as (offer, _):
        status, came, why = fetched(tmp_path, host_download.peer_source(offer, "disk", NAME))
    assert (status, came) == (host_download.WRONG_BYTES, b"")
    assert "curl: " in why


def test_who_speaks_without_tls_is_cut_off_and_the_others_served(file: Path, tmp_path: Path) -> None:
    with handed_out(file) as (offer, _), socket.create_connection((offer.address, offer.port), LIMIT_S) as plain:
        plain.sendall(f"GET {NAME} HTTP/1.0\r\n\r\n".encode())
        with suppress(ConnectionResetError):
            assert CONTENT[:64] not in plain.recv(4096)
        assert fetched(tmp_path, host_download.peer_source(offer, "disk", NAME))[0] == 0


def test_it_ends_when_nobody_has_taken_anything_for_a_while(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    impatient = tmp_path / "peer_server.py"
    impatient.write_text(Path(peer_server.__file__).read_text().replace("IDLE_LIMIT_S = 120.0", "IDLE_LIMIT_S = 0.5"))
    monkeypatch.setattr(peer_server, "__file__", str(impatient))
    with handed_out(file) as (_, process):
        assert process.wait(LIMIT_S) == 0


def test_without_an_address_to_be_reached_at_it_says_so(file: Path, tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "SSH_CONNECTION"}
    command = [sys.executable, peer_server.__file__]
    done = subprocess.run(command, input=b"{}\n", env=environment, check=False, capture_output=True)
    assert (done.returncode, done.stdout) == (peer_offer.NO_ADDRESS, b"")


def test_a_public_copy_is_fetched_by_the_same_script(tmp_path: Path) -> None:
    with web_server("127.0.0.1") as web:
        web.content = CONTENT
        web.url += "$(id)`id`'\"&[1-3]{a,b}"
        source = host_download.public_source(PublicCopy(url=web.url))
        assert fetched(tmp_path, source) == (0, CONTENT, "")
        assert fetched(tmp_path, source, CONTENT[:-1])[0] == host_download.WRONG_BYTES


def test_a_public_copy_is_had_behind_as_many_redirects_as_this_machine_follows(tmp_path: Path) -> None:
    def answer(line: str) -> bytes:
        at = int(line.split()[1].strip("/"))
        where = f"HTTP/1.1 302 Found\r\nLocation: /{at + 1}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
        return where.encode() if at < MAX_REDIRECTS else b"HTTP/1.0 200 OK\r\n\r\n" + CONTENT

    with RawServer(answer) as server:
        copy = PublicCopy(url=f"http://127.0.0.1:{server.port}/0")
        assert fetched(tmp_path, host_download.public_source(copy)) == (0, CONTENT, "")


def test_a_public_copy_is_asked_for_again_where_no_byte_has_come(tmp_path: Path) -> None:
    def answer(_line: str) -> bytes:
        return b"HTTP/1.0 503 Later\r\n\r\n" if len(server.asked) == 1 else b"HTTP/1.0 200 OK\r\n\r\n" + CONTENT

    with RawServer(answer) as server:
        copy = PublicCopy(url=f"http://127.0.0.1:{server.port}/disk")
        assert fetched(tmp_path, host_download.public_source(copy))[:2] == (0, CONTENT)


def test_a_secure_server_must_not_send_the_host_to_one_that_is_not() -> None:
    assert dict(host_download.public_source(PublicCopy(url="https://a/b")).options)["proto-redir"] == "=https"
    assert dict(host_download.public_source(PublicCopy(url="http://a/b")).options)["proto-redir"] == "=http,https"
