"""Files written by libguestfs, in one start of its appliance. Emulated, that takes half a minute of processor time."""

from pathlib import Path

import pytest

from pragmaspec.errors import ImageError
from pragmaspec.guest.contract.files import GuestFile
from pragmaspec.guest.offline.detect import GuestSystem
from pragmaspec.guest.offline.files import OfflineFiles
from pragmaspec.images.offline import guestfs as appliance
from pragmaspec.images.offline.overlay import BaseImage, OverlayRequest, appliance_overlays, quick_overlay
from tests.images.offline.systems import RED_HAT, xfs_disk


@pytest.fixture(autouse=True)
def emulated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Machines for tests offer a KVM that starts no kernel; finding that out takes a minute."""
    monkeypatch.setenv("LIBGUESTFS_BACKEND_SETTINGS", "force_tcg")


@pytest.mark.guest
def test_several_disks_with_xfs_are_written_in_one_start(tmp_path: Path) -> None:
    disk = xfs_disk(tmp_path / "image", RED_HAT)
    systems: list[GuestSystem] = []

    def wish(name: str) -> OverlayRequest:
        def contents(system: GuestSystem) -> OfflineFiles:
            systems.append(system)
            return OfflineFiles(
                files=(
                    GuestFile(path="/root/vc-out.xml", mode=0o600, content=f"<vc>told to {name} alone</vc>\n"),
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
    assert quick_overlay(BaseImage(disk, "raw"), wish("nobody"), quick) is None
    made = appliance_overlays(BaseImage(disk, "raw"), [wish("first"), wish("second")], slow)
    assert [system.networks for system in systems] == [("ifcfg",), ("ifcfg",)]
    assert systems[0].contexts == RED_HAT["/etc/selinux/targeted/contexts/files/file_contexts"]
    for overlay, name in zip(made, ("first", "second"), strict=True):
        content = overlay.read_bytes()
        assert f"told to {name} alone".encode() in content
        assert b"system_u:object_r:ssh_home_t:s0" in content
        assert content.count(b"told to") == 1
    assert b"told to" not in disk.read_bytes()


def test_without_libguestfs_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(appliance, "_PYTHON", str(tmp_path / "absent"))
    with pytest.raises(ImageError, match="apt-get install python3-guestfs"):
        appliance.write_with_appliance([tmp_path / "disk"], lambda number, system: OfflineFiles(files=()))


def test_what_the_python_of_the_system_says_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho \"ModuleNotFoundError: No module named 'guestfs'\" >&2\nexit 1\n")
    python.chmod(0o700)
    monkeypatch.setattr(appliance, "_PYTHON", str(python))
    with pytest.raises(ImageError, match=r"No module named 'guestfs'.*apt-get install python3-guestfs"):
        appliance.write_with_appliance([tmp_path / "disk"], lambda number, system: OfflineFiles(files=()))


def test_what_does_not_answer_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nexec sleep 600\n")
    python.chmod(0o700)
    monkeypatch.setattr(appliance, "_PYTHON", str(python))
    monkeypatch.setattr(appliance, "START_LIMIT_S", 0.2)
    with pytest.raises(ImageError, match="did not start in 0 s"):
        appliance.write_with_appliance([tmp_path / "disk"], lambda number, system: OfflineFiles(files=()))
