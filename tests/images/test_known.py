import os
import time
from pathlib import Path

import pytest

from pragmaspec.images.known import known_image
from pragmaspec.images.library import ImageLibrary
from pragmaspec.images.store.blobs import BlobStore
from pragmaspec.images.store.digest_cache import SETTLED_NS
from pragmaspec.spec.models.image import ImageModel


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """A raw disk that was changed long ago."""
    raw = bytearray(2**20)
    raw[510:512] = b"\x55\xaa"
    path = tmp_path / "disk.raw"
    path.write_bytes(raw)
    long_ago = time.time_ns() - 10 * SETTLED_NS
    os.utime(path, ns=(long_ago, long_ago))
    return path


def test_a_local_disk_is_known_while_its_metadata_is_unchanged(tmp_path: Path, disk: Path) -> None:
    store, model = tmp_path / "store", ImageModel(source="disk.raw", format="raw")
    assert known_image(BlobStore(store), model, "tiny", tmp_path) is None, "it was never read"
    while time.time_ns() - disk.stat().st_ctime_ns <= SETTLED_NS:
        os.sched_yield()
    resolved = ImageLibrary(store).resolve(model, "tiny", tmp_path)
    known = known_image(BlobStore(store), model, "tiny", tmp_path)
    assert known is not None
    assert (known.digest, known.virtual_size_bytes) == (resolved.digest, resolved.virtual_size_bytes)
    disk.write_bytes(b"other")
    assert known_image(BlobStore(store), model, "tiny", tmp_path) is None
    disk.unlink()
    assert known_image(BlobStore(store), model, "tiny", tmp_path) is None


def test_a_download_without_a_lock_entry_is_unknown(tmp_path: Path) -> None:
    model = ImageModel(source="http://127.0.0.1:9/x.raw", format="raw")
    assert known_image(BlobStore(tmp_path), model, "tiny", tmp_path) is None
    (tmp_path / "pragmaspec.lock").write_text("damaged {")
    assert known_image(BlobStore(tmp_path), model, "tiny", tmp_path) is None
    build = ImageModel.model_validate({"build": {"debian": "bookworm"}})
    assert known_image(BlobStore(tmp_path), build, "tiny", tmp_path) is None
