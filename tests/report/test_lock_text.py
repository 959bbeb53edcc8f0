"""``lock``."""

from msgspec.structs import replace

from pragmaspec.images.lock.entries import LockChange, ProcessorChange, SitePinChange, pin_change_kind
from pragmaspec.images.lock.lock_file import LockEntry, SitePin
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


PIN = SitePin(
    described="Featured-Ubuntu24",
    site_id="1f0c",
    id="img-1",
    name="Featured-Ubuntu24",
    checksum=f"sha256:{'a' * 64}",
    created="2026-10-01",
    format="raw",
    virtual_size_bytes=8 * 2**30,
    date="2026-11-22",
)


def test_images_at_sites_are_shown_as_the_site_describes_them() -> None:
    newer = replace(PIN, id="img-2", checksum="", created="")
    text = lock_text(
        (
            SitePinChange(name="u24", site="jetstream", change="new", pin=PIN),
            SitePinChange(name="u24", site="lab", change="moved", pin=newer, before=PIN),
        ),
        Style(),
    )
    assert "u24    jetstream  new    Featured-Ubuntu24  img-1          2026-10-01  raw     8 GiB  sha256:aaaaaaaaaaaaaaaa" in text
    assert "u24    lab        moved  Featured-Ubuntu24  img-1 → img-2  unknown     raw     8 GiB  none" in text
    assert text.endswith("pragmaspec.lock has 1 image.\n")


def test_lock_json_of_images_at_sites() -> None:
    kept, removed = lock_json(
        (
            SitePinChange(name="u24", site="lab", change="same", pin=PIN, before=PIN),
            SitePinChange(name="u24", site="old", change="removed", pin=PIN, before=PIN),
        )
    )["site_images"]
    assert kept["before"] == kept["after"]
    assert set(kept["after"]) == set(SitePin.__struct_fields__)
    assert (removed["site"], removed["after"]) == ("old", None)


def test_kinds_of_changes_of_a_pin() -> None:
    assert pin_change_kind(None, PIN) == "new"
    assert pin_change_kind(PIN, replace(PIN, date="2027-01-01")) == "same"
    assert pin_change_kind(PIN, replace(PIN, name="Renamed")) == "described"
    assert pin_change_kind(PIN, replace(PIN, checksum=f"sha256:{'b' * 64}")) == "moved"
    assert pin_change_kind(PIN, replace(PIN, id="img-2", checksum="")) == "moved"


def test_processors_of_sites_are_listed():
    changes = (
        LockChange(name="debian", change="same", entry=ENTRY, before=ENTRY),
        ProcessorChange(site="hall", change="moved", processor="x86-64-v3", before="x86-64-v2"),
        ProcessorChange(site="lab", change="new", processor="x86-64-v2"),
        ProcessorChange(site="old", change="removed", processor="host", before="host"),
    )
    text = lock_text(changes, Style())
    assert "hall  moved    x86-64-v2 → x86-64-v3\n" in text
    assert "lab   new      x86-64-v2\n" in text
    assert text.endswith("pragmaspec.lock has 1 image and 2 processors.\n")
    assert lock_json(changes)["processors"] == [
        {"site": "hall", "change": "moved", "before": "x86-64-v2", "after": "x86-64-v3"},
        {"site": "lab", "change": "new", "before": None, "after": "x86-64-v2"},
        {"site": "old", "change": "removed", "before": "host", "after": None},
    ]
    assert lock_text(changes[2:3], Style()).endswith("pragmaspec.lock has 0 images and 1 processor.\n")
