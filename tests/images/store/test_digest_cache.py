import os
import time
from hashlib import sha256
from pathlib import Path

import pytest

from pragmaspec.errors import ImageError
from pragmaspec.images.store.blobs import BlobStore
from pragmaspec.images.store.digest_cache import DigestCache
from pragmaspec.resources import Blob


@pytest.fixture
def digests(tmp_path: Path) -> DigestCache:
    return DigestCache(BlobStore(tmp_path / "store"))


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    file = tmp_path / "disk.raw"
    file.write_bytes(b"one")
    return file


def wait_until_settled(file: Path) -> None:
    """Until a change of the file cannot have the time stamp of the last one."""
    while time.time_ns() - file.stat().st_ctime_ns < 150_000_000:
        time.sleep(0.01)


def reads(digests: DigestCache, file: Path) -> list[int]:
    counted: list[int] = []
    digests.blob(file, lambda done, total: counted.append(done))
    return counted


def test_a_file_is_hashed_once(digests: DigestCache, disk: Path) -> None:
    wait_until_settled(disk)
    assert reads(digests, disk) == [3]
    assert reads(digests, disk) == []
    assert digests.blob(disk) == Blob(sha256=sha256(b"one").hexdigest(), size_bytes=3)


def test_a_recently_changed_file_is_hashed_again(digests: DigestCache, disk: Path) -> None:
    assert reads(digests, disk) == [3]
    assert reads(digests, disk) == [3]


def test_a_change_that_keeps_size_and_modification_time_is_detected(digests: DigestCache, disk: Path) -> None:
    wait_until_settled(disk)
    before, seen = digests.blob(disk), disk.stat()
    disk.write_bytes(b"two")
    os.utime(disk, ns=(seen.st_atime_ns, seen.st_mtime_ns))
    assert digests.blob(disk) != before


def test_a_file_is_found_by_digest_while_it_is_unchanged(digests: DigestCache, disk: Path, tmp_path: Path) -> None:
    assert digests.find(Blob(sha256="a" * 64, size_bytes=3)) is None
    blob = digests.blob(disk)
    assert digests.find(blob) == disk
    (tmp_path / "store" / "local" / "damaged.json").write_text("{")
    assert digests.find(blob) == disk
    disk.write_bytes(b"changed")
    assert digests.find(blob) is None
    disk.unlink()
    assert digests.find(blob) is None


def test_special_files_are_refused(digests: DigestCache, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"There is no file .*/absent"):
        digests.blob(tmp_path / "absent")
    with pytest.raises(ImageError, match="is a folder"):
        digests.blob(tmp_path)
    with pytest.raises(ImageError, match="Not a directory"):
        digests.blob(tmp_path / "disk.raw" / "below") if (tmp_path / "disk.raw").write_bytes(b"") == 0 else None


def test_a_file_that_changes_while_it_is_hashed_is_refused(digests: DigestCache, disk: Path) -> None:
    def meddle(done: int, total: int) -> None:
        with disk.open("ab") as file:
            file.write(b"more")

    with pytest.raises(ImageError, match="was modified while"):
        digests.blob(disk, meddle)
