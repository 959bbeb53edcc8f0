"""Files written by libguestfs, in one start of its appliance, which takes half a minute of processor time when emulated."""

from pathlib import Path

import pytest

from pragmaspec.errors import ImageError
from pragmaspec.guest.guest_file import GuestFile
from pragmaspec.guest.offline.detect import GuestSystem
from pragmaspec.guest.offline.files import OfflineFiles
from pragmaspec.images.offline import guestfs
from pragmaspec.images.offline.overlay import BaseImage, OverlayRequest, appliance_overlays, quick_overlay
from tests.images.offline.systems import RED_HAT, xfs_disk


@pytest.fixture(autouse=True)
def emulated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some test machines offer a KVM under which no kernel boots; detecting that takes a minute."""
    monkeypatch.setenv("LIBGUESTFS_BACKEND_SETTINGS", "force_tcg")


@pytest.mark.guest
def test_several_xfs_disks_are_written_in_one_start(tmp_path: Path) -> None:
    disk = xfs_disk(tmp_path / "image", RED_HAT)
    systems: list[GuestSystem] = []

    def request(name: str) -> OverlayRequest:
        def contents(system: GuestSystem) -> OfflineFiles:
            systems.append(system)
            return OfflineFiles(
                files=(
                    GuestFile(path="/root/vc-out.xml", mode=0o600, content=f"<vc>only for {name}</vc>\n"),
                    GuestFile(path="/root/.ssh/authorized_keys", mode=0o600, content="ssh-ed25519 ours\n"),
                ),
                links=(("/etc/systemd/system/multi-user.target.wants/a.service", "../a.service"),),
                removed=("/etc/passwd",),
                contexts=system.contexts,
            )

        return OverlayRequest(2**30, contents)

    quick, slow = tmp_path / "quick", tmp_path / "slow"
    quick.mkdir()
    slow.mkdir()
    assert quick_overlay(BaseImage(disk, "raw"), request("none"), quick) is None
    made = appliance_overlays(BaseImage(disk, "raw"), [request("first"), request("second")], slow)
    assert [system.networks for system in systems] == [("ifcfg",), ("ifcfg",)]
    assert systems[0].contexts == RED_HAT["/etc/selinux/targeted/contexts/files/file_contexts"]
    for overlay, name in zip(made, ("first", "second"), strict=True):
        content = overlay.read_bytes()
        assert f"only for {name}".encode() in content
        assert b"system_u:object_r:ssh_home_t:s0" in content
        assert content.count(b"only for") == 1
    assert b"only for" not in disk.read_bytes()


def test_without_libguestfs_the_error_names_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guestfs, "_PYTHON", str(tmp_path / "absent"))
    with pytest.raises(ImageError, match="apt-get install python3-guestfs"):
        guestfs.write_with_appliance([tmp_path / "disk"], lambda number, system: OfflineFiles(files=()))


def test_messages_of_the_appliance_are_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho \"ModuleNotFoundError: No module named 'guestfs'\" >&2\nexit 1\n")
    python.chmod(0o700)
    monkeypatch.setattr(guestfs, "_PYTHON", str(python))
    with pytest.raises(ImageError, match=r"No module named 'guestfs'.*apt-get install python3-guestfs"):
        guestfs.write_with_appliance([tmp_path / "disk"], lambda number, system: OfflineFiles(files=()))


def test_an_appliance_that_does_not_start_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nexec sleep 600\n")
    python.chmod(0o700)
    monkeypatch.setattr(guestfs, "_PYTHON", str(python))
    monkeypatch.setattr(guestfs, "START_TIMEOUT_S", 0.2)
    with pytest.raises(ImageError, match="did not start within 0 s"):
        guestfs.write_with_appliance([tmp_path / "disk"], lambda number, system: OfflineFiles(files=()))
