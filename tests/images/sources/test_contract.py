"""The contract of all remote sources, for all faults of their servers."""

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from hashlib import sha256
from pathlib import Path

import pytest

from pragmaspec.errors import ImageError
from pragmaspec.images.context import ImageContext, VerifiedImage
from pragmaspec.images.reporter import ImageReporter
from pragmaspec.images.sources.registry import AnySource
from pragmaspec.images.store.blobs import BlobStore
from pragmaspec.images.transfer.policy import TransferPolicy
from tests.images.openpgp import Key, keys, make_key
from tests.images.sources.kinds import KINDS, Kind, Tools, fetch_elsewhere, http, s3


@pytest.fixture(scope="module")
def publisher() -> Iterator[Key]:
    with keys() as home:
        yield make_key(home, "publisher")


@pytest.fixture(params=KINDS, ids=lambda kind: kind.__name__)
def kind(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, publisher: Key) -> Iterator[Kind]:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    with ExitStack() as stack:
        yield request.param(Tools(tmp_path, monkeypatch, stack, publisher))


@pytest.fixture(params=[http, s3], ids=lambda kind: kind.__name__)
def one_kind(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, publisher: Key) -> Iterator[Kind]:
    """Two kinds with different requests, for slow tests of code that all kinds share."""
    with ExitStack() as stack:
        yield request.param(Tools(tmp_path, monkeypatch, stack, publisher))


@pytest.fixture
def store(tmp_path: Path) -> BlobStore:
    return BlobStore(tmp_path / "store")


@pytest.fixture
def disk(qcow2: bytes) -> bytes:
    """Large enough for a transfer in several pieces."""
    return qcow2 + bytes(range(256)) * 8192


def find(store: BlobStore, source: AnySource, **limits: float) -> VerifiedImage:
    policy = TransferPolicy(first_pause_s=0.001, **limits)  # type: ignore[arg-type]  # seconds and counts
    return source.find(ImageContext(store, "debian", ImageReporter(), policy=policy))


def bytes_of(store: BlobStore, found: VerifiedImage) -> bytes:
    return store.path(found.disk.sha256).read_bytes()


def refused(store: BlobStore, source: AnySource, words: str, **limits: float) -> None:
    with pytest.raises(ImageError, match=words) as error:
        find(store, source, **limits)
    assert "canary" not in str(error.value)
    assert not (store.directory / "sha256").exists(), "nothing is in the store"


def transfers(kind: Kind, disk: bytes) -> int:
    """Number of requests for the file itself."""
    return sum(1 for asked in kind.server.asked if kind.server.gate is None or kind.server.gate(asked) is None)


def test_a_disk_is_downloaded_once_and_recorded(kind: Kind, store: BlobStore, disk: bytes) -> None:
    kind.server.content, kind.server.modified = disk, "Sun, 01 Nov 2026 10:00:00 GMT"
    source = kind.source(disk)
    found = find(store, source)
    assert bytes_of(store, found) == disk
    assert (found.format, found.virtual_size_bytes) == ("qcow2", 64 * 2**20)
    assert found.fetched is not None
    assert (found.fetched.blob, found.fetched.published) == (found.disk, "2026-11-01T10:00:00+00:00")
    before = transfers(kind, disk)
    assert find(store, source) == found
    assert transfers(kind, disk) == before
    assert [file.name for file in (store.directory / "incoming").iterdir()] == []


def test_a_truncated_transfer_is_resumed(kind: Kind, store: BlobStore, disk: bytes) -> None:
    kind.server.content, kind.server.break_after = disk, [900_000, 500_000]
    assert bytes_of(store, find(store, kind.source(disk))) == disk
    ranges = [asked.headers["Range"] for asked in kind.server.asked if "Range" in asked.headers]
    assert len(ranges) >= 2


def test_a_transfer_that_stays_truncated_fails(kind: Kind, store: BlobStore, disk: bytes) -> None:
    kind.server.content, kind.server.break_after = disk, [900_000, *[0] * 40]
    refused(store, kind.source(disk), "attempts")


def test_a_whole_file_in_response_to_a_range_is_accepted(kind: Kind, store: BlobStore, disk: bytes) -> None:
    kind.server.content, kind.server.ranges, kind.server.break_after = disk, False, [900_000]
    assert bytes_of(store, find(store, kind.source(disk))) == disk


def test_a_wrong_range_restarts_the_download(kind: Kind, store: BlobStore, disk: bytes) -> None:
    """The part is discarded, and the whole file requested."""
    kind.server.content, kind.server.wrong_range, kind.server.break_after = disk, True, [900_000]
    assert bytes_of(store, find(store, kind.source(disk))) == disk


@pytest.mark.parametrize("careful", [True, False], ids=["condition honoured", "condition ignored"])
def test_a_changed_file_is_never_resumed(kind: Kind, store: BlobStore, disk: bytes, careful: bool) -> None:
    """Even if the server ignores the condition of the request."""
    if not careful:
        kind.server.condition = ""
    source = kind.source(disk)
    kind.server.content, kind.server.break_after = b"old" * (len(disk) // 3), [900_000, *[0] * 40]
    with pytest.raises(ImageError):
        find(store, source)
    kind.server.content, kind.server.etag, kind.server.break_after = disk, '"two"', []
    assert bytes_of(store, find(store, source)) == disk


def test_a_web_page_instead_of_the_file_is_rejected(kind: Kind, store: BlobStore, disk: bytes) -> None:
    kind.server.content = b"<!DOCTYPE html><html>404 Not Found</html>"
    for content_type in ("text/html; charset=utf-8", "application/octet-stream"):
        kind.server.content_type = content_type
        refused(store, kind.source(disk), "page")


def test_an_endless_file_is_rejected(kind: Kind, store: BlobStore, disk: bytes) -> None:
    kind.server.content, kind.server.endless, kind.server.etag = disk, True, ""
    refused(store, kind.source(disk), "sends more", max_bytes=8 * 2**20)


def test_a_transfer_that_is_too_slow_fails(kind: Kind, store: BlobStore, disk: bytes) -> None:
    kind.server.content, kind.server.drip_s, kind.server.etag = disk, 0.02, ""
    refused(store, kind.source(disk), "bytes arrived in", tries=1, slow_for_s=0.2, min_bytes_per_s=10_000)


def test_a_file_with_another_digest_is_rejected_and_kept(kind: Kind, store: BlobStore, disk: bytes) -> None:
    source = kind.source(disk)
    kind.server.content = disk + b"!"
    refused(store, source, sha256(disk + b"!").hexdigest())
    (bad,) = (store.directory / "incoming").glob("*.bad")
    assert bad.read_bytes() == disk + b"!"
    kind.server.content = disk
    assert bytes_of(store, find(store, source)) == disk


def test_temporary_server_errors_are_retried(kind: Kind, store: BlobStore, disk: bytes) -> None:
    kind.server.content, kind.server.status = disk, [503, 429]
    assert bytes_of(store, find(store, kind.source(disk))) == disk


def test_two_processes_download_a_disk_once(one_kind: Kind, store: BlobStore, disk: bytes) -> None:
    kind = one_kind
    kind.server.content = disk
    source = kind.source(disk)
    runs = [fetch_elsewhere(source, store.directory) for _ in range(2)]
    assert [run.communicate(timeout=60)[0].strip() for run in runs] == [sha256(disk).hexdigest()] * 2
    assert transfers(kind, disk) == 1


def test_the_next_run_resumes_the_download_of_a_killed_one(one_kind: Kind, store: BlobStore, disk: bytes) -> None:
    kind = one_kind
    kind.server.content, kind.server.stall_at = disk, 1_000_000
    source = kind.source(disk)
    run = fetch_elsewhere(source, store.directory)
    until = time.monotonic() + 30
    while not any(part.stat().st_size >= 500_000 for part in (store.directory / "incoming").glob("*.part")):
        assert time.monotonic() < until
        time.sleep(0.01)
    run.kill()
    run.communicate()
    kind.server.go_on.set()
    kind.server.stall_at = 0
    assert not (store.directory / "sha256").exists()
    assert bytes_of(store, find(store, source)) == disk
    (again,) = [asked.headers["Range"] for asked in kind.server.asked if "Range" in asked.headers]
    assert int(again.removeprefix("bytes=").rstrip("-")) >= 500_000


def test_four_threads_download_a_disk_once(kind: Kind, store: BlobStore, disk: bytes) -> None:
    kind.server.content = disk
    source = kind.source(disk)
    results: list[bytes] = []
    threads = [threading.Thread(target=lambda: results.append(bytes_of(store, find(store, source)))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [disk] * 4
    assert transfers(kind, disk) == 1


def test_the_display_name_has_no_secrets(kind: Kind, disk: bytes) -> None:
    source = kind.source(disk)
    assert "?" not in source.origin()
    assert source.described()
