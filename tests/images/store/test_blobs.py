import threading
from hashlib import sha256
from pathlib import Path

import pytest

from pragmaspec.errors import ImageError
from pragmaspec.images.store.blobs import BlobStore, file_sha256, write_atomically
from pragmaspec.resources import Blob


def test_an_adopted_file_is_named_by_its_digest_and_read_only(tmp_path: Path) -> None:
    store = BlobStore(tmp_path / "store")
    part = store.part("one")
    part.write_bytes(b"content")
    blob = store.adopt(part)
    assert blob == Blob(sha256=sha256(b"content").hexdigest(), size_bytes=7)
    assert store.has(blob)
    assert not part.exists()
    assert store.path(blob.sha256).stat().st_mode & 0o777 == 0o444
    assert store.path(blob.sha256).read_bytes() == b"content"


def test_a_file_of_another_size_is_not_the_blob(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    blob = Blob(sha256="a" * 64, size_bytes=3)
    assert not store.has(blob)
    store.path(blob.sha256).parent.mkdir()
    store.path(blob.sha256).write_bytes(b"12")
    assert not store.has(blob)


def test_a_lock_makes_the_second_process_wait(tmp_path: Path) -> None:
    order = []
    inside, go_on = threading.Event(), threading.Event()

    def first() -> None:
        with BlobStore(tmp_path).locked("image"):
            inside.set()
            go_on.wait(10)
            order.append("first")

    thread = threading.Thread(target=first)
    thread.start()
    assert inside.wait(10)
    threading.Timer(0.1, go_on.set).start()
    with BlobStore(tmp_path).locked("image"):
        order.append("second")
    thread.join()
    assert order == ["first", "second"]


def test_a_scratch_directory_is_empty_and_removed_afterwards(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    left_by_a_crash = tmp_path / "incoming" / "build.work" / "half"
    left_by_a_crash.mkdir(parents=True)
    with store.scratch("build") as directory:
        assert list(directory.iterdir()) == []
        (directory / "file").touch()
    assert not directory.exists()


def test_free_space_is_checked(tmp_path: Path) -> None:
    store = BlobStore(tmp_path / "not-yet-there")
    store.check_space(1, "debian-12")
    with pytest.raises(ImageError, match=r"debian-12 needs .* MiB"):
        store.check_space(2**60, "debian-12")


def test_progress_of_hashing_is_reported(tmp_path: Path) -> None:
    file = tmp_path / "disk"
    file.write_bytes(bytes(9 * 2**20))
    counted: list[tuple[int, int]] = []
    assert file_sha256(file, lambda done, total: counted.append((done, total))) == sha256(bytes(9 * 2**20)).hexdigest()
    assert counted[-1] == (9 * 2**20, 9 * 2**20)
    assert len(counted) > 1


def test_a_small_file_is_replaced_atomically_with_its_mode(tmp_path: Path) -> None:
    file = tmp_path / "new" / "entry.json"
    write_atomically(file, b"old")
    write_atomically(file, b"new", 0o600)
    assert file.read_bytes() == b"new"
    assert file.stat().st_mode & 0o777 == 0o600
    assert [one.name for one in file.parent.iterdir()] == ["entry.json"]
