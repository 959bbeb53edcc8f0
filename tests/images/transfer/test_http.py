"""Downloads equal those of curl, and every response ends in the file or in an error message."""

import gzip
import subprocess
from hashlib import sha256
from pathlib import Path

import pytest

from pragmaspec.errors import ImageError
from pragmaspec.images.context import ImageContext
from pragmaspec.images.reporter import ImageReporter
from pragmaspec.images.store.blobs import BlobStore
from pragmaspec.images.transfer.cloudfront import WebFile
from pragmaspec.images.transfer.download import download
from pragmaspec.images.transfer.http import DownloadClient
from pragmaspec.images.transfer.policy import TransferPolicy
from tests.images.raw_server import Answer, RawServer

DISK = b"QFI\xfb" + bytes(range(256)) * 4
LAST = len(DISK) - 1
LENGTH = b"Content-Length: %d\r\n" % len(DISK)


def ok(headers: bytes = LENGTH, body: bytes = DISK, line: bytes = b"HTTP/1.1 200 OK") -> bytes:
    return line + b"\r\n" + headers + b"\r\n" + body


def chunked(body: bytes = DISK, end: bytes = b"0\r\n\r\n") -> bytes:
    return b"%x;note=1\r\n" % len(body) + body + b"\r\n" + end


def to(location: bytes, status: bytes = b"302 Found", more: bytes = b"") -> Answer:
    """Redirects from ``/start``, and gives the disk everywhere else."""

    def answer(line: str) -> bytes:
        if line.startswith("GET /start "):
            return b"HTTP/1.1 " + status + b"\r\nLocation: " + location + b"\r\n" + more + b"Content-Length: 0\r\n\r\n"
        return ok()

    return answer


GOOD: dict[str, Answer] = {
    "plain": ok(),
    "no length": ok(b""),
    "HTTP/1.0": ok(line=b"HTTP/1.0 200 OK"),
    "no reason": ok(line=b"HTTP/1.1 200"),
    "reason beyond ASCII": ok(line=b"HTTP/1.1 200 d\xe4nk \xe2\x82\xac"),
    "203": ok(line=b"HTTP/1.1 203 Non-Authoritative Information"),
    "206 unasked, whole": ok(
        LENGTH + b"Content-Range: bytes 0-%d/%d\r\n" % (len(DISK) - 1, len(DISK)), line=b"HTTP/1.1 206 Part"
    ),
    "206 unasked, length unknown": ok(LENGTH + b"Content-Range: bytes 0-%d/*\r\n" % (len(DISK) - 1), line=b"HTTP/1.1 206 Part"),
    "206 unasked, no range": ok(line=b"HTTP/1.1 206 Partial Content"),
    "100": b"HTTP/1.1 100 Continue\r\n\r\n" + ok(),
    "103": b"HTTP/1.1 103 Early Hints\r\nLink: </x>; rel=preload\r\n\r\n" + ok(),
    "102, 103, 100": b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n" + ok(),
    "chunked": ok(b"Transfer-Encoding: chunked\r\n", chunked()),
    "chunked with trailer": ok(b"Transfer-Encoding: chunked\r\n", chunked(end=b"0\r\nX-Sum: 1\r\n\r\n")),
    "chunked twice": ok(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: Chunked\r\n", chunked()),
    "identity": ok(LENGTH + b"Transfer-Encoding: identity\r\n"),
    "chunked, and a length": ok(b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", chunked()),
    "length twice": ok(LENGTH + LENGTH),
    "more than its length": ok(body=DISK + b"surplus"),
    "headers beyond ASCII": ok(LENGTH + b"X-Name: d\xe4nk\r\nServer: \xe2\x82\xac\x85\r\n"),
    "header without value": ok(LENGTH + b"X-Nothing:\r\n"),
    "folded header": ok(LENGTH + b"X-Long: a\r\n b\r\n"),
    "long header": ok(LENGTH + b"X-Long: " + b"a" * 60000 + b"\r\n"),
    "eighty headers": ok(LENGTH + b"".join(b"X-%d: y\r\n" % number for number in range(80))),
    "lines end with LF": ok().replace(b"\r\n", b"\n", 3),
    "aws-chunked": ok(LENGTH + b"Content-Encoding: aws-chunked\r\n"),
    "called gzip": ok(LENGTH + b"Content-Encoding: gzip\r\n"),
    "called two": ok(LENGTH + b"Content-Encoding: gzip, br\r\n"),
    "strange cookies": ok(
        LENGTH + b"Set-Cookie: =;;;expires=x;port=y\r\nSet-Cookie: \xff\xfe=\x80; Max-Age=" + b"9" * 40 + b"\r\n"
    ),
    "called a web page": ok(LENGTH + b"Content-Type: text/html\r\n"),
    "dates that are none": ok(LENGTH + b"Last-Modified: Tue, 99 Foo 0000 99:99:99\r\nETag: \xff\r\n"),
    "to a path": to(b"/disk"),
    "to a relative path": to(b"disk"),
    "to a query": to(b"?disk"),
    "to UTF-8": to("/dänk/…/Å".encode()),
    "to Latin-1": to(b"/d\xe4nk"),
    "to a blank": to(b"/my disk?a b"),
    "to escapes": to(b"/%7Edisk%2Fx?%41"),
    "to a fragment": to(b"/disk#part"),
    "to blanks around": to(b"  /disk \t"),
    "to dots": to(b"/a/../b/./disk"),
    "to a per cent": to(b"/100%/disk"),
    "by 301": to(b"/disk", b"301 Moved"),
    "by 303": to(b"/disk", b"303 See Other"),
    "by 307": to(b"/disk", b"307 Temporary"),
    "by 308": to(b"/disk", b"308 Permanent"),
    "by 300": to(b"/disk", b"300 Multiple Choices"),
    "with an empty one before": to(b"/disk", more=b"Location: \r\n"),
}
BAD: dict[str, tuple[Answer, str]] = {
    "nothing": (b"", "connection was lost"),
    "another protocol": (b"SSH-2.0-OpenSSH_9.2\r\n", "does not speak HTTP"),
    "HTTP/0.9": (DISK, "does not speak HTTP"),
    "HTTP/9": (ok(line=b"HTTP/9.9 200 OK"), "does not speak HTTP"),
    "status of letters": (ok(line=b"HTTP/1.1 abc OK"), "does not speak HTTP"),
    "status of four digits": (ok(line=b"HTTP/1.1 2000 OK"), "does not speak HTTP"),
    "header of 70,000": (ok(LENGTH + b"X-Long: " + b"a" * 70000 + b"\r\n"), "does not speak HTTP"),
    "status line of 70,000": (ok(line=b"HTTP/1.1 200 " + b"a" * 70000), "does not speak HTTP"),
    "204": (ok(b"", b"", b"HTTP/1.1 204 No Content"), "204 No Content"),
    "205": (ok(b"Content-Length: 0\r\n", b"", b"HTTP/1.1 205 Reset"), "205 Reset"),
    "304 unasked": (ok(b"", b"", b"HTTP/1.1 304 Not Modified"), "304 Not Modified"),
    "300 without a place": (ok(line=b"HTTP/1.1 300 Multiple Choices"), "300 Multiple Choices"),
    "302 without a place": (ok(line=b"HTTP/1.1 302 Found"), "302 Found"),
    "302 to nothing": (to(b""), "302 Found"),
    "407": (ok(line=b"HTTP/1.1 407 Proxy Authentication Required"), "407"),
    "404 in colour": (ok(line=b"HTTP/1.1 404 \x1b[31m" + b"x" * 5000), r"404 \[31mx{1,80}\."),
    "length too big": (ok(b"Content-Length: %d\r\n" % (len(DISK) + 1)), "ended early|connection was lost|came"),
    "two lengths": (ok(LENGTH + b"Content-Length: 5\r\n"), "contradict"),
    "206 unasked, a part": (ok(LENGTH + b"Content-Range: bytes 5-9/100\r\n", line=b"HTTP/1.1 206 Part"), "only a part"),
    "206 unasked, the beginning": (ok(LENGTH + b"Content-Range: bytes 0-9/100\r\n", line=b"HTTP/1.1 206 Part"), "only a part"),
    "206 with a range that is none": (ok(LENGTH + b"Content-Range: \xff\r\n", line=b"HTTP/1.1 206 Part"), "only a part"),
    "416 unasked": (ok(line=b"HTTP/1.1 416 Range Not Satisfiable"), "416"),
    "chunks without end": (ok(b"Transfer-Encoding: chunked\r\n", chunked(end=b"")), "ended early|connection was lost"),
    "packed chunks": (ok(b"Transfer-Encoding: gzip, chunked\r\n", chunked()), r"transfer coding gzip, chunked"),
    "chunked and a comma": (ok(b"Transfer-Encoding: chunked,\r\n", chunked()), "transfer coding"),
    "chunk of letters": (ok(b"Transfer-Encoding: chunked\r\n", b"xyz\r\n" + DISK), "ended early|connection was lost"),
    "chunk cut short": (ok(b"Transfer-Encoding: chunked\r\n", chunked()[:100]), "ended early|connection was lost"),
    "to another kind": (to(b"file:///etc/passwd"), "the scheme file: is neither"),
    "to a port beyond": (to(b"http://127.0.0.1:99999/"), "port is not between 1 and 65535"),
    "to half a bracket": (to(b"http://[::1/x"), "brackets"),
    "to one slash": (to(b"http:/disk"), "// is missing"),
    "to a control code": (to(b"/a\x01b"), "control character"),
    "to no host": (to(b"http:///disk"), "has no host"),
    "to itself": (to(b"/start"), "more than 50 redirects"),
    "a login page": (ok(b"", b"<!DOCTYPE html><title>Log in</title>"), "web page"),
}


def fetched(url: str, tmp_path: Path) -> bytes:
    part = tmp_path / "part"
    came = download(WebFile(url=url), part, context(tmp_path))
    content = part.read_bytes()
    assert came.sha256 == sha256(content).hexdigest()
    return content


def context(tmp_path: Path) -> ImageContext:
    policy = TransferPolicy(first_pause_s=0.001, connect_timeout_s=5, read_timeout_s=5, tries=2)
    return ImageContext(BlobStore(tmp_path / "store"), "debian", ImageReporter(), policy=policy)


def by_curl(url: str) -> bytes | None:
    """The content of ``url`` as curl saves it; None if curl fails."""
    done = subprocess.run(["curl", "-q", "-sLf", "--max-time", "10", url], capture_output=True, check=False)
    return done.stdout if done.returncode == 0 else None


@pytest.mark.parametrize("case", GOOD)
def test_responses_that_curl_accepts_are_accepted(case: str, tmp_path: Path) -> None:
    with RawServer(GOOD[case]) as server:
        url = f"http://127.0.0.1:{server.port}/start"
        assert by_curl(url) == DISK
        theirs, server.asked[:] = list(server.asked), []
        assert fetched(url, tmp_path) == DISK
    if case != "to a per cent":
        assert [line.upper() for line in server.asked] == [line.upper() for line in theirs], "the same was asked for"


@pytest.mark.parametrize("case", BAD)
def test_all_other_responses_are_explained(case: str, tmp_path: Path) -> None:
    answer, words = BAD[case]
    with RawServer(answer) as server, pytest.raises(ImageError, match=words) as refused:
        fetched(f"http://127.0.0.1:{server.port}/start", tmp_path)
    assert all(problem.detail.isprintable() for problem in refused.value.problems)


def test_the_body_of_a_redirect_is_not_read(tmp_path: Path) -> None:
    endless = b"HTTP/1.1 302 Found\r\nLocation: /disk\r\nContent-Length: 999999999999\r\n\r\n" + bytes(100_000)
    with RawServer(lambda line: endless if "/start" in line else ok()) as server:
        assert fetched(f"http://127.0.0.1:{server.port}/start", tmp_path) == DISK


def test_a_host_may_be_an_ipv6_address(tmp_path: Path) -> None:
    with RawServer(ok(), "::1") as server:
        server.answer = to(b"//[::1]:%d/disk" % server.port)
        assert fetched(f"http://[::1]:{server.port}/start", tmp_path) == DISK
        assert by_curl(f"http://[::1]:{server.port}/start") == DISK


def test_a_content_length_that_is_too_small_truncates_the_file(tmp_path: Path) -> None:
    with RawServer(ok(b"Content-Length: 5\r\n")) as server:
        url = f"http://127.0.0.1:{server.port}/start"
        assert fetched(url, tmp_path) == by_curl(url) == DISK[:5]


@pytest.mark.parametrize(("encoding", "packed"), [("gzip", True), ("gzip", False), ("br", False)])
def test_small_files_are_decompressed_if_the_server_compressed_them(encoding: str, packed: bool, tmp_path: Path) -> None:
    text = b"sums"
    sent = gzip.compress(text) if packed else text
    headers = f"Content-Encoding: {encoding}\r\nContent-Length: {len(sent)}\r\n".encode()
    with RawServer(ok(headers, sent)) as server, DownloadClient(context(tmp_path).policy) as web:
        assert web.read_small(WebFile(url=f"http://127.0.0.1:{server.port}/SHA256SUMS")) == text
        server.answer = ok(b"Content-Encoding: gzip\r\n", gzip.compress(bytes(2**24)))
        with pytest.raises(ImageError, match="more than 8 MiB"):
            web.read_small(WebFile(url=f"http://127.0.0.1:{server.port}/SHA256SUMS"))
        server.answer = ok(b"Content-Encoding: gzip\r\n", b"\x1f\x8bdamaged")
        assert web.read_small(WebFile(url=f"http://127.0.0.1:{server.port}/SHA256SUMS")) == b"\x1f\x8bdamaged"
