"""Overlays with the files of one node each, written on demand and removed afterwards."""

import stat
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from msgspec.structs import replace

from pragmaspec.engine.offline_disks import OfflineOverlays
from pragmaspec.engine.target_state import TargetState
from pragmaspec.guest.offline.detect import guest_system
from pragmaspec.images.formats import qemu_img
from pragmaspec.images.offline import overlay as overlay_module
from pragmaspec.images.reporter import ImageFiles
from pragmaspec.resources import Node
from pragmaspec.state_model import State
from tests.engine.fake_provider import KEY, WANTED, plan_for
from tests.images.offline.systems import DEBIAN, DISK_BYTES, backing, ext_disk, opened
from tests.state.samples import ALLOCATION, IMAGE, LINEAGE, act, node

EMPTY = State(lineage=LINEAGE)
RAW = replace(IMAGE, format="raw", virtual_size_bytes=DISK_BYTES)
AT_SITE = "/var/lib/libvirt/images/pragmaspec-abab-disk.raw"


def plain(index: int) -> Node:
    return replace(node(index), cloud_init=False, disk_bytes=DISK_BYTES)


@contextmanager
def offline_overlays(disk: Path, *more: Node) -> Iterator[OfflineOverlays]:
    """The overlays of an apply that boots a frontend, two computes, and ``more``."""
    base = [act("stage", RAW), act("allocate", ALLOCATION)]
    plan = plan_for(EMPTY, *base, *(act("boot", made, *base) for made in (*map(plain, (-1, 0, 1)), *more)))
    found = OfflineOverlays(plan, TargetState(plan, EMPTY, WANTED), KEY, lambda image: ImageFiles(disk=disk))
    try:
        yield found
    finally:
        found.close()


def remaining_overlays(directory: Path) -> list[Path]:
    return list(directory.glob("pragmaspec-overlay-*"))


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    found = tmp_path / "temporary"
    found.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(found))
    return found


def test_clear_removes_only_the_overlays_of_its_own_lineage(tmp_path: Path, temporary: Path) -> None:
    ours, another = (temporary / f"pragmaspec-overlay-{lineage}-x" for lineage in (LINEAGE, LINEAGE[::-1]))
    for folder in (ours, another, tmp_path / "elsewhere"):
        folder.mkdir()
        (folder / "0.qcow2").write_text("a private key")
    (temporary / f"pragmaspec-overlay-{LINEAGE}-link").symlink_to(tmp_path / "elsewhere")
    with offline_overlays(tmp_path / "image") as overlays:
        overlays.clear()
    assert not ours.exists()
    assert (another / "0.qcow2").exists()
    assert (tmp_path / "elsewhere" / "0.qcow2").exists()


def test_each_node_has_its_own_overlay_and_temporary_files_are_removed(tmp_path: Path, temporary: Path) -> None:
    disk = ext_disk(tmp_path / "image", DEBIAN)

    def check_overlay(wanted: Node) -> None:
        with overlays.overlay(wanted, AT_SITE) as file:
            assert backing(file) == (AT_SITE, "raw")
            assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
            with opened(file, disk, "raw", tmp_path / wanted.name) as seen:
                assert seen.text("/etc/hostname") == f"{wanted.name}\n"
                assert wanted.nics[0].address in seen.text("/etc/network/interfaces")
                assert "PRIVATE KEY" in seen.text("/root/.ssh/id_ed25519")

    with offline_overlays(disk) as overlays, ThreadPoolExecutor(3) as pool:
        list(pool.map(check_overlay, map(plain, (-1, 0, 1))))
        assert remaining_overlays(temporary) == []


def test_overlays_that_need_libguestfs_are_written_in_one_batch(
    tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[list[str]] = []

    def fake_appliance(
        base: overlay_module.BaseImage, requests: Sequence[overlay_module.OverlayRequest], scratch: Path
    ) -> tuple[Path, ...]:
        system = guest_system({"/etc/network/interfaces": "file"})
        found = []
        calls.append([])
        for number, request in enumerate(requests):
            names = {file.path: file.content.strip() for file in request.contents(system).files}
            calls[-1].append(names["/etc/hostname"])
            found.append(scratch / f"{number}.qcow2")
            found[-1].write_text(names["/etc/hostname"])
        return tuple(found)

    monkeypatch.setattr(overlay_module, "quick_overlay", lambda base, request, scratch: None)
    monkeypatch.setattr(overlay_module, "appliance_overlays", fake_appliance)
    monkeypatch.setattr(qemu_img, "set_backing_path", lambda overlay, path, format_: None)
    with offline_overlays(tmp_path / "disk", replace(node(2), disk_bytes=DISK_BYTES)) as overlays:
        for wanted in map(plain, (0, -1)):
            with overlays.overlay(wanted, AT_SITE) as file:
                assert file.read_text() == wanted.name
            assert not file.exists()
        assert calls == [["hello-compute-0", "hello-frontend", "hello-compute-1"]], "a node with cloud-init has no overlay"
        with overlays.overlay(plain(0), AT_SITE) as file:
            assert file.read_text() == "hello-compute-0", "requested again, as after a failed boot"
        assert calls[1:] == [["hello-compute-0"]]
    assert remaining_overlays(temporary) == []
