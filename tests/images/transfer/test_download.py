import gzip
import ssl
import threading
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from pragmaspec.errors import ImageError
from pragmaspec.images.context import ImageContext
from pragmaspec.images.reporter import ImageReporter
from pragmaspec.images.sources.url import UrlSource
from pragmaspec.images.store.blobs import BlobStore
from pragmaspec.images.store.fetched import Fetched
from pragmaspec.images.transfer.policy import TransferPolicy
from pragmaspec.resources import Blob
from tests.images.file_server import FileServer


class Steps(ImageReporter):
    def __init__(self) -> None:
        self.steps: list[tuple[str, str, int | None, int | None]] = []

    def step(self, image: str, doing: str, done_bytes: int | None = None, total_bytes: int | None = None) -> None:
        self.steps.append((image, doing, done_bytes, total_bytes))


@pytest.fixture
def store(tmp_path: Path) -> BlobStore:
    return BlobStore(tmp_path / "store")


@pytest.fixture
def disk(qcow2: bytes) -> bytes:
    """Large enough for a transfer in several pieces."""
    return qcow2 + bytes(range(256)) * 8192


def source(server: FileServer, content: bytes, path: str = "disk.qcow2") -> UrlSource:
    return UrlSource(url=server.url(path), sha256=sha256(content).hexdigest())


def fetch(store: BlobStore, source: UrlSource) -> bytes:
    found = source.find(ImageContext(store, "debian", ImageReporter(), policy=TransferPolicy(first_pause_s=0.001)))
    return store.path(found.disk.sha256).read_bytes()


def nothing_published(store: BlobStore) -> bool:
    return not (store.directory / "sha256").exists()


def test_a_disk_is_downloaded_once(server: FileServer, store: BlobStore, disk: bytes) -> None:
    server.content = disk
    steps = Steps()
    found = source(server, disk).find(ImageContext(store, "debian", steps))
    assert found.virtual_size_bytes == 64 * 2**20
    assert found.disk.size_bytes == len(disk)
    assert ("debian", "downloading", len(disk), len(disk)) in steps.steps
    assert fetch(store, source(server, disk)) == disk
    assert len(server.asked) == 1
    assert server.asked[0].headers["Accept-Encoding"] == "identity"
    assert not list((store.directory / "incoming").glob("*.part"))


def test_a_server_may_announce_no_length(server: FileServer, store: BlobStore, disk: bytes) -> None:
    server.content, server.chunked = disk, True
    assert fetch(store, source(server, disk)) == disk


def test_an_interrupted_transfer_is_resumed(server: FileServer, store: BlobStore, disk: bytes) -> None:
    server.content, server.break_after = disk, [1_000_000, 500_000]
    assert fetch(store, source(server, disk)) == disk
    ranges = [asked.headers.get("Range") for asked in server.asked]
    assert ranges[0] is None
    assert len(ranges) == 3
    assert all(one and int(one.removeprefix("bytes=").rstrip("-")) > 0 for one in ranges[1:])
    assert server.asked[1].headers["If-Range"] == '"one"'


def test_the_next_run_resumes_an_interrupted_transfer(server: FileServer, store: BlobStore, disk: bytes) -> None:
    server.content, server.break_after = disk, [300_000, *[0] * 5]
    with pytest.raises(ImageError, match="5 attempts failed"):
        fetch(store, source(server, disk))
    assert nothing_published(store)
    begun = len(server.asked)
    assert fetch(store, source(server, disk)) == disk
    assert int(server.asked[begun].headers["Range"].removeprefix("bytes=").rstrip("-")) > 200_000


def test_a_file_that_changed_at_the_server_is_downloaded_from_its_start(
    server: FileServer, store: BlobStore, disk: bytes
) -> None:
    server.content, server.break_after = b"old" * 500_000, [400_000, *[0] * 5]
    with pytest.raises(ImageError):
        fetch(store, source(server, disk))
    server.content, server.etag = disk, '"two"'
    assert fetch(store, source(server, disk)) == disk


@pytest.mark.parametrize("etag", ['W/"weak"', ""])
def test_without_a_strong_etag_nothing_is_resumed(server: FileServer, store: BlobStore, disk: bytes, etag: str) -> None:
    server.content, server.etag, server.break_after = disk, etag, [1_000_000]
    assert fetch(store, source(server, disk)) == disk
    assert [asked.headers.get("Range") for asked in server.asked] == [None, None]


def test_a_server_that_ignores_ranges_sends_the_whole_file_again(server: FileServer, store: BlobStore, disk: bytes) -> None:
    server.content, server.ranges, server.break_after = disk, False, [1_000_000]
    assert fetch(store, source(server, disk)) == disk


def test_after_a_wrong_range_the_whole_file_is_requested(server: FileServer, store: BlobStore, disk: bytes) -> None:
    server.content, server.wrong_range, server.break_after = disk, True, [1_000_000]
    assert fetch(store, source(server, disk)) == disk
    assert [bool(asked.headers.get("Range")) for asked in server.asked] == [False, True, False]


def test_a_file_that_shrank_is_downloaded_from_its_start(server: FileServer, store: BlobStore, disk: bytes) -> None:
    server.content, server.break_after = disk + bytes(2**20), [2_000_000, *[0] * 5]
    with pytest.raises(ImageError):
        fetch(store, source(server, disk))
    server.content = disk[:1_000_000]
    with pytest.raises(ImageError, match="another digest"):
        fetch(store, source(server, disk))


def test_server_errors_are_retried_and_client_errors_are_not(server: FileServer, store: BlobStore, disk: bytes) -> None:
    server.content, server.status = disk, [503, 500]
    assert fetch(store, source(server, disk)) == disk
    server.status = [404]
    with pytest.raises(ImageError, match="404 Not Found"):
        fetch(BlobStore(store.directory / "other"), source(server, disk))
    assert len(server.asked) == 4


def test_a_file_with_a_wrong_digest_is_kept_outside_of_the_store(server: FileServer, store: BlobStore, disk: bytes) -> None:
    server.content = disk + b"!"
    wanted = source(server, disk)
    with pytest.raises(ImageError, match=sha256(disk + b"!").hexdigest()) as refused:
        fetch(store, wanted)
    assert wanted.sha256 in str(refused.value)
    assert nothing_published(store)
    assert (store.directory / "incoming" / f"{wanted.sha256}.bad").read_bytes() == disk + b"!"
    server.content = disk
    assert fetch(store, wanted) == disk


def test_a_web_page_is_recognised(server: FileServer, store: BlobStore, disk: bytes) -> None:
    for kind in ("text/html; charset=utf-8", "application/octet-stream"):
        for page in (b"<!DOCTYPE html><html>Log in first</html>", b"\xef\xbb\xbf\r\n <HTML lang=en>", b"<head>"):
            server.content, server.content_type = page, kind
            with pytest.raises(ImageError, match="web page"):
                fetch(store, source(server, disk))
    server.content = disk
    assert fetch(store, source(server, disk)) == disk, "whatever its server takes it for"


@pytest.mark.parametrize(
    "encoding", ["aws-chunked", "identity", "IDENTITY", "none", "gzip", "x-gzip", "deflate", "br", "zstd", "?"]
)
def test_content_encoding_is_ignored(server: FileServer, store: BlobStore, disk: bytes, encoding: str) -> None:
    """Also where it is continued: the digest tells whether it is right."""
    server.content, server.encoding, server.break_after = disk, encoding, [1_000_000]
    assert fetch(store, source(server, disk)) == disk
    packed = gzip.compress(disk)
    server.content = packed
    found = source(server, packed, "disk.gz").find(
        ImageContext(store, "debian", ImageReporter(), policy=TransferPolicy(first_pause_s=0.001))
    )
    assert found.virtual_size_bytes == 64 * 2**20


def test_a_size_other_than_announced_is_detected(server: FileServer, store: BlobStore, disk: bytes) -> None:
    server.content, server.announce, server.etag = disk, len(disk) + 100, ""
    with pytest.raises(ImageError, match="5 attempts failed"):
        fetch(store, source(server, disk))
    assert nothing_published(store)


def test_redirects_are_followed_up_to_the_limit(server: FileServer, store: BlobStore, disk: bytes) -> None:
    server.content = disk
    server.redirect = {"/latest": "/dated/disk", "/dated/disk": server.url("disk.qcow2"), "/round": "/round"}
    assert fetch(store, source(server, disk, "latest")) == disk
    other = BlobStore(store.directory / "other")
    with pytest.raises(ImageError, match="more than 50 redirects"):
        fetch(other, source(server, disk, "round"))
    server.redirect["/file"] = "file:///etc/passwd"
    with pytest.raises(ImageError, match="the scheme file: is neither"):
        fetch(other, source(server, disk, "file"))


def test_concurrent_requests_download_a_disk_once(server: FileServer, store: BlobStore, disk: bytes) -> None:
    server.content = disk
    results: list[bytes] = []
    threads = [threading.Thread(target=lambda: results.append(fetch(store, source(server, disk)))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [disk] * 4
    assert len(server.asked) == 1


def test_an_unsafe_disk_is_rejected_despite_its_digest(server: FileServer, store: BlobStore) -> None:
    server.content = b"\x1f\x8b" + bytes(2**20)
    with pytest.raises(ImageError, match="gzip"):
        fetch(store, source(server, server.content))


def test_a_refused_connection_is_retried_and_reported(store: BlobStore, disk: bytes) -> None:
    with FileServer() as gone:
        wanted = source(gone, disk)
    with pytest.raises(ImageError, match="3 attempts failed; the last one: the connection was refused") as refused:
        fetch(store, wanted)
    assert "downloaded so far is kept" not in str(refused.value)


def test_an_unknown_host_name_is_reported(store: BlobStore, disk: bytes) -> None:
    with pytest.raises(ImageError, match=r"nosuch\.invalid/disk: the host name does not resolve"):
        fetch(store, UrlSource(url="http://nosuch.invalid/disk?token=canary", sha256=sha256(disk).hexdigest()))


def test_an_unreachable_proxy_is_reported(store: BlobStore, disk: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    with FileServer() as gone:
        monkeypatch.setenv("http_proxy", gone.url("").rstrip("/"))
    with pytest.raises(ImageError, match="the proxy is unreachable"):
        fetch(store, UrlSource(url="http://images.example.org/disk", sha256=sha256(disk).hexdigest()))


def test_secrets_in_urls_are_not_shown(server: FileServer, store: BlobStore, disk: bytes) -> None:
    server.status = [403]
    wanted = source(server, disk, "disk?token=canary")
    assert "canary" not in wanted.origin()
    with pytest.raises(ImageError) as refused:
        fetch(store, wanted)
    assert "canary" not in str(refused.value)
    assert UrlSource(url="https://me:canary@host/disk", sha256="").origin() == "https://host/disk"


def test_mirrors_are_tried_in_order_and_all_problems_reported(server: FileServer, store: BlobStore, disk: bytes) -> None:
    wanted = sha256(disk).hexdigest()
    with FileServer(content=disk + b"!") as stale, FileServer(status=[404] * 4) as empty:
        server.content = disk
        mirrored = UrlSource(url=empty.url(), mirrors=(stale.url(), server.url()), sha256=wanted)
        steps = Steps()
        found = mirrored.find(ImageContext(store, "debian", steps, policy=TransferPolicy(first_pause_s=0.001)))
        assert store.path(found.disk.sha256).read_bytes() == disk
        assert [step[1] for step in steps.steps if "trying" in step[1]] == [f"trying {stale.url()}", f"trying {server.url()}"]
        assert len(empty.asked) == len(stale.asked) == len(server.asked) == 1
        other = BlobStore(store.directory / "other")
        with pytest.raises(ImageError) as refused:
            fetch(other, UrlSource(url=empty.url(), mirrors=(stale.url(),), sha256=wanted))
    assert [problem.summary for problem in refused.value.problems] == ["Image cannot be downloaded", "Image has another digest"]


def test_a_part_from_one_mirror_is_not_resumed_at_another(server: FileServer, store: BlobStore, disk: bytes) -> None:
    """Though both give it the same ETag: what they mean by it is theirs."""
    with FileServer(content=b"x" * len(disk), break_after=[900_000, *[0] * 9]) as broken:
        server.content = disk
        mirrored = UrlSource(url=broken.url(), mirrors=(server.url(),), sha256=sha256(disk).hexdigest())
        assert fetch(store, mirrored) == disk
    assert [asked.headers.get("Range") for asked in server.asked] == [None]


def test_a_proxy_of_the_environment_is_used(
    server: FileServer, store: BlobStore, disk: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.content = disk
    monkeypatch.setenv("http_proxy", server.url("").rstrip("/"))
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    assert fetch(store, UrlSource(url="http://images.example.org/disk", sha256=sha256(disk).hexdigest())) == disk
    assert server.asked[0].path == "http://images.example.org/disk"
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert fetch(BlobStore(store.directory / "other"), source(server, disk)) == disk
    assert server.asked[1].path == "/disk.qcow2"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ssl.SSLContext]:
    """A certificate for 127.0.0.1 that signed itself, and what a server needs to show it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "pragmaspec test")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime.now(UTC) - timedelta(days=1))
        .not_valid_after(datetime.now(UTC) + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path_factory.mktemp("tls") / "server.pem"
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    file.write_bytes(made.public_bytes(Encoding.PEM) + private)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return file, context


def test_a_redirect_from_https_to_http_is_rejected(
    server: FileServer, store: BlobStore, disk: bytes, certificate: tuple[Path, ssl.SSLContext], monkeypatch: pytest.MonkeyPatch
) -> None:
    server.content = disk
    file, context = certificate
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(file))
    with FileServer(content=disk, tls=context, redirect={"/latest": server.url()}) as safe:
        assert fetch(store, source(safe, disk)) == disk
        with pytest.raises(ImageError, match="less secure"):
            fetch(BlobStore(store.directory / "other"), source(safe, disk, "latest"))
    assert server.asked == []


def test_an_untrusted_certificate_is_rejected(store: BlobStore, disk: bytes, certificate: tuple[Path, ssl.SSLContext]) -> None:
    with (
        FileServer(content=disk, tls=certificate[1]) as stranger,
        pytest.raises(ImageError, match=r"certificate was rejected \(self-signed certificate\)"),
    ):
        fetch(store, source(stranger, disk))


def pinned(store: BlobStore, server: FileServer, disk: bytes, *, published: str = "") -> ImageContext:
    known = Fetched(blob=Blob(sha256=sha256(disk).hexdigest(), size_bytes=len(disk)), url=server.url(), published=published)
    return ImageContext(store, "debian", ImageReporter(), policy=TransferPolicy(first_pause_s=0.001), pinned=known)


def test_a_file_without_a_digest_is_accepted_only_for_pinning(server: FileServer, store: BlobStore, disk: bytes) -> None:
    server.content = disk
    bare = UrlSource(url=server.url())
    with pytest.raises(ImageError, match="Image is not pinned"):
        fetch(store, bare)
    assert server.asked == []
    first = ImageContext(store, "debian", ImageReporter(), first_use=True)
    assert bare.find(first).disk.sha256 == sha256(disk).hexdigest()
    assert bare.find(first).disk.sha256 == sha256(disk).hexdigest()
    assert server.asked[1].headers["If-None-Match"] == '"one"', "what has not changed is not transferred again"
    server.content, server.etag = disk + bytes(512), '"two"'
    assert bare.find(first).disk.sha256 == sha256(disk + bytes(512)).hexdigest()
    assert bare.find(pinned(store, server, disk)).disk.sha256 == sha256(disk).hexdigest()


@pytest.mark.parametrize(
    ("modified", "words"),
    [
        ("Sun, 01 Nov 2026 10:00:00 GMT", "now serves an older file of 2026-11-01"),
        ("Tue, 01 Dec 2026 10:00:00 GMT", "now serves a newer file of 2026-12-01"),
        ("", "now serves an other file"),
    ],
)
@pytest.mark.parametrize("change", [b"!", b""])
def test_a_file_other_than_the_pinned_one_is_rejected(
    server: FileServer, store: BlobStore, disk: bytes, modified: str, words: str, change: bytes
) -> None:
    """One of another length is not even transferred."""
    server.content, server.modified = disk[:-1] + b"?" + change, modified
    with pytest.raises(ImageError, match=words) as refused:
        UrlSource(url=server.url()).find(pinned(store, server, disk, published="2026-11-20T00:00:00+00:00"))
    assert server.url() in str(refused.value)
    assert nothing_published(store)
    assert bool(change) == (not list((store.directory / "incoming").glob("*.bad")))


def test_the_pinned_url_is_tried_first(server: FileServer, store: BlobStore, disk: bytes) -> None:
    with FileServer(content=disk) as found_at:
        context = pinned(store, found_at, disk)
        assert UrlSource(url=server.url("latest")).find(context).disk.sha256 == sha256(disk).hexdigest()
    assert server.asked == []


def test_missing_space_is_reported(server: FileServer, store: BlobStore, disk: bytes) -> None:
    server.content, server.announce = disk, 2**62
    with pytest.raises(ImageError, match="Not enough disk space for the image"):
        fetch(store, source(server, disk))
