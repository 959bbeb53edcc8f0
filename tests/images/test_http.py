import threading
from hashlib import sha256
from pathlib import Path

import pytest

from pragmaspec.errors import ImageError
from pragmaspec.images.progress import ImageReporter
from pragmaspec.images.sources.base import Workshop
from pragmaspec.images.sources.http import HttpSource
from pragmaspec.images.store import BlobStore
from tests.images.server import FileServer


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


def source(server: FileServer, content: bytes, path: str = "disk.qcow2") -> HttpSource:
    return HttpSource(url=server.url(path), sha256=sha256(content).hexdigest())


def fetch(store: BlobStore, source: HttpSource) -> bytes:
    found = source.find(Workshop(store, "debian", ImageReporter(), pause_s=0.001))
    return store.path(found.disk.sha256).read_bytes()


def nothing_published(store: BlobStore) -> bool:
    return not (store.directory / "sha256").exists()


def test_a_disk_is_downloaded_once(server: FileServer, store: BlobStore, disk: bytes) -> None:
    server.content = disk
    steps = Steps()
    found = source(server, disk).find(Workshop(store, "debian", steps))
    assert found.virtual_size_bytes == 64 * 2**20
    assert found.disk.size_bytes == len(disk)
    assert steps.steps[-1] == ("debian", "downloading", len(disk), len(disk))
    assert fetch(store, source(server, disk)) == disk
    assert len(server.asked) == 1
    assert server.asked[0].headers["Accept-Encoding"] == "identity"
    assert not list((store.directory / "incoming").glob("*.part"))


def test_a_server_that_tells_no_length_is_fine(server: FileServer, store: BlobStore, disk: bytes) -> None:
    server.content, server.chunked = disk, True
    assert fetch(store, source(server, disk)) == disk


def test_a_broken_transfer_goes_on_where_it_stopped(server: FileServer, store: BlobStore, disk: bytes) -> None:
    server.content, server.break_after = disk, [1_000_000, 500_000]
    assert fetch(store, source(server, disk)) == disk
    ranges = [asked.headers.get("Range") for asked in server.asked]
    assert ranges[0] is None
    assert len(ranges) == 3
    assert all(one and int(one.removeprefix("bytes=").rstrip("-")) > 0 for one in ranges[1:])
    assert server.asked[1].headers["If-Range"] == '"one"'


def test_a_transfer_that_was_interrupted_goes_on_in_the_next_run(server: FileServer, store: BlobStore, disk: bytes) -> None:
    server.content, server.break_after = disk, [300_000, *[0] * 5]
    with pytest.raises(ImageError, match="nothing came in 5 tries"):
        fetch(store, source(server, disk))
    assert nothing_published(store)
    begun = len(server.asked)
    assert fetch(store, source(server, disk)) == disk
    assert int(server.asked[begun].headers["Range"].removeprefix("bytes=").rstrip("-")) > 200_000


def test_a_file_that_changed_at_the_server_begins_anew(server: FileServer, store: BlobStore, disk: bytes) -> None:
    server.content, server.break_after = b"old" * 500_000, [400_000, *[0] * 5]
    with pytest.raises(ImageError):
        fetch(store, source(server, disk))
    server.content, server.etag = disk, '"two"'
    assert fetch(store, source(server, disk)) == disk


@pytest.mark.parametrize("etag", ['W/"weak"', ""])
def test_without_a_strong_etag_nothing_is_continued(server: FileServer, store: BlobStore, disk: bytes, etag: str) -> None:
    server.content, server.etag, server.break_after = disk, etag, [1_000_000]
    assert fetch(store, source(server, disk)) == disk
    assert [asked.headers.get("Range") for asked in server.asked] == [None, None]


def test_a_server_that_ignores_ranges_sends_all_of_it_again(server: FileServer, store: BlobStore, disk: bytes) -> None:
    server.content, server.ranges, server.break_after = disk, False, [1_000_000]
    assert fetch(store, source(server, disk)) == disk


def test_a_wrong_range_is_refused(server: FileServer, store: BlobStore, disk: bytes) -> None:
    server.content, server.wrong_range, server.break_after = disk, True, [1_000_000]
    with pytest.raises(ImageError, match="answers a request for bytes"):
        fetch(store, source(server, disk))


def test_a_file_that_shrank_begins_anew(server: FileServer, store: BlobStore, disk: bytes) -> None:
    server.content, server.break_after = disk + bytes(2**20), [2_000_000, *[0] * 5]
    with pytest.raises(ImageError):
        fetch(store, source(server, disk))
    server.content = disk[:1_000_000]
    with pytest.raises(ImageError, match="another digest"):
        fetch(store, source(server, disk))


def test_server_errors_are_tried_again_and_client_errors_are_not(server: FileServer, store: BlobStore, disk: bytes) -> None:
    server.content, server.status = disk, [503, 500]
    assert fetch(store, source(server, disk)) == disk
    server.status = [404]
    with pytest.raises(ImageError, match="404 Not Found"):
        fetch(BlobStore(store.directory / "other"), source(server, disk))
    assert len(server.asked) == 4


def test_a_wrong_digest_publishes_nothing_and_keeps_the_bytes(server: FileServer, store: BlobStore, disk: bytes) -> None:
    server.content = disk + b"!"
    wanted = source(server, disk)
    with pytest.raises(ImageError, match=sha256(disk + b"!").hexdigest()) as refused:
        fetch(store, wanted)
    assert wanted.sha256 in str(refused.value)
    assert nothing_published(store)
    assert (store.directory / "incoming" / f"{wanted.sha256}.bad").read_bytes() == disk + b"!"
    server.content = disk
    assert fetch(store, wanted) == disk


def test_a_web_page_is_named_as_one(server: FileServer, store: BlobStore, disk: bytes) -> None:
    server.content = b"<!DOCTYPE html><html>Log in first</html>"
    for kind in ("text/html; charset=utf-8", "application/octet-stream"):
        server.content_type = kind
        with pytest.raises(ImageError, match="web page"):
            fetch(store, source(server, disk))


def test_compressed_answers_are_refused(server: FileServer, store: BlobStore, disk: bytes) -> None:
    server.content, server.encoding = disk, "gzip"
    with pytest.raises(ImageError, match="compressed"):
        fetch(store, source(server, disk))


def test_more_or_less_than_announced_is_noticed(server: FileServer, store: BlobStore, disk: bytes) -> None:
    server.content, server.announce, server.etag = disk, len(disk) + 100, ""
    with pytest.raises(ImageError, match="nothing came in 5 tries"):
        fetch(store, source(server, disk))
    assert nothing_published(store)


def test_redirects_are_followed_within_reason(server: FileServer, store: BlobStore, disk: bytes) -> None:
    server.content = disk
    server.redirect = {"/latest": "/dated/disk", "/dated/disk": server.url("disk.qcow2"), "/round": "/round"}
    assert fetch(store, source(server, disk, "latest")) == disk
    other = BlobStore(store.directory / "other")
    with pytest.raises(ImageError, match="more than 8 redirects"):
        fetch(other, source(server, disk, "round"))
    server.redirect["/file"] = "file:///etc/passwd"
    with pytest.raises(ImageError, match="less safe"):
        fetch(other, source(server, disk, "file"))


def test_two_that_want_one_disk_download_it_once(server: FileServer, store: BlobStore, disk: bytes) -> None:
    server.content = disk
    results: list[bytes] = []
    threads = [threading.Thread(target=lambda: results.append(fetch(store, source(server, disk)))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [disk] * 4
    assert len(server.asked) == 1


def test_an_unsafe_disk_is_refused_though_its_digest_is_right(server: FileServer, store: BlobStore) -> None:
    server.content = b"\x1f\x8b" + bytes(2**20)
    with pytest.raises(ImageError, match="gzip"):
        fetch(store, source(server, server.content))


def test_nobody_at_the_address(store: BlobStore, disk: bytes) -> None:
    with FileServer() as gone:
        wanted = source(gone, disk)
    with pytest.raises(ImageError, match="nothing came in 5 tries, the last ended with: ConnectionError"):
        fetch(store, wanted)


def test_secrets_in_urls_are_not_shown(server: FileServer, store: BlobStore, disk: bytes) -> None:
    server.status = [403]
    wanted = source(server, disk, "disk?token=canary")
    assert "canary" not in wanted.origin()
    with pytest.raises(ImageError) as refused:
        fetch(store, wanted)
    assert "canary" not in str(refused.value)
    assert HttpSource(url="https://me:canary@host/disk", sha256="").origin() == "https://host/disk"
