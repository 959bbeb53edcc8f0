"""``lock``."""

from msgspec.structs import replace

from pragmaspec.images.lock.entries import LockChange
from pragmaspec.images.lock.lock_file import LockEntry
from pragmaspec.report.lock_text import lock_json, lock_text
from pragmaspec.report.style import Style
from pragmaspec.resources import Blob

ENTRY = LockEntry(
    described="d" * 64,
    digest="a" * 64,
    origin="https://images.example.org/debian.qcow2",
    format="qcow2",
    virtual_size_bytes=2 * 2**30,
    disk=Blob(sha256="a" * 64, size_bytes=330 * 2**20),
    version="20261101",
)
OTHER = replace(ENTRY, digest="b" * 64, version="")


def test_a_spec_without_images() -> None:
    assert lock_text((), Style()) == "The spec has no images: there is nothing to lock.\n"


def test_moved_image_shows_both_versions() -> None:
    text = lock_text((LockChange(name="debian", change="moved", entry=OTHER, before=ENTRY),), Style())
    assert f"20261101 → {'b' * 12}" in text
    assert text.endswith("pragmaspec.lock has 1 image.\n")


def test_nothing_has_changed() -> None:
    text = lock_text((LockChange(name="debian", change="same", entry=ENTRY, before=ENTRY),), Style())
    assert text.endswith("pragmaspec.lock has 1 image, unchanged.\n")


def test_lock_json_has_every_key() -> None:
    new, removed = lock_json(
        (LockChange(name="new", change="new", entry=ENTRY), LockChange(name="old", change="removed", entry=OTHER, before=OTHER))
    )["images"]
    assert new["before"] is None
    assert removed["after"] is None
    assert set(new["after"]) == set(removed["before"]) == set(LockEntry.__struct_fields__)
