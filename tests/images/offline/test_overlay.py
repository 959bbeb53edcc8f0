"""Overlays on ext file systems, written in place; test_guestfs.py tests all others."""

import subprocess
from pathlib import Path

import pytest

from pragmaspec.guest.guest_file import GuestFile
from pragmaspec.guest.offline.detect import GuestSystem
from pragmaspec.guest.offline.files import OfflineFiles
from pragmaspec.images.formats.qemu_img import set_backing_path
from pragmaspec.images.offline.debugfs import ExtFileSystem, NotWrittenError
from pragmaspec.images.offline.overlay import BaseImage, OverlayRequest, quick_overlay
from pragmaspec.images.offline.overlay_export import can_export
from pragmaspec.images.offline.partitions import probe_partitions
from tests.images.offline.systems import (
    DEBIAN,
    DISK_BYTES,
    PART_AT,
    PART_BYTES,
    RED_HAT,
    backing,
    ext_disk,
    opened,
    partitioned,
    tree,
)

WANTED = OfflineFiles(
    files=(
        GuestFile(path="/root/vc-out.xml", mode=0o600, content="<vc/>\n"),
        GuestFile(path="/root/.ssh/authorized_keys", mode=0o600, content="ssh-ed25519 ours\n"),
        GuestFile(path="/etc/hostname", mode=0o644, content="hello-frontend\n"),
        GuestFile(path="/etc/NetworkManager/system-connections/a.nmconnection", mode=0o600, content="é" * 5000),
        GuestFile(path="/usr/local/sbin/pragmaspec-nat", mode=0o755, content=""),
    ),
    links=(("/etc/systemd/system/multi-user.target.wants/a.service", "../a.service"),),
    removed=("/etc/ssh/ssh_host_rsa_key",),
)


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    found = tmp_path / "a folder, with a comma"
    found.mkdir()
    return found


def test_this_machine_can_export_disks() -> None:
    assert can_export(), "needs /dev/fuse, qemu-system-common, util-linux and, for others than root, fuse3"


@pytest.mark.parametrize(("partition", "format_"), [(True, "raw"), (False, "raw"), (True, "qcow2")])
def test_files_replace_existing_ones(tmp_path: Path, scratch: Path, partition: bool, format_: str) -> None:
    disk = ext_disk(tmp_path / "image", DEBIAN, partition=partition)
    if format_ == "qcow2":
        packed = disk.with_suffix(".qcow2")
        subprocess.run(["qemu-img", "convert", "-O", "qcow2", disk, packed], check=True)
        disk = packed
    before = disk.read_bytes()
    systems: list[GuestSystem] = []

    def contents(system: GuestSystem) -> OfflineFiles:
        systems.append(system)
        return WANTED

    overlay = quick_overlay(BaseImage(disk, format_), OverlayRequest(2 * DISK_BYTES, contents), scratch)  # type: ignore[arg-type]  # a Literal
    assert overlay is not None
    (system,) = systems
    assert (system.networks, system.host_keys, system.machine_id) == (("ifupdown",), ("/etc/ssh/ssh_host_rsa_key",), True)
    assert disk.read_bytes() == before, "other nodes boot from the image"
    assert overlay.stat().st_size < 4 * 2**20
    assert {entry.name for entry in scratch.iterdir()} == {"overlay.qcow2", "disk", "commands"}
    with opened(overlay, disk, format_, tmp_path / "look", PART_AT if partition else 0) as seen:
        for file in WANTED.files:
            assert seen.text(file.path) == file.content
            stat = seen.stat(file.path)
            assert f"Mode:  {file.mode:04o}" in stat
            assert "User:     0   Group:     0" in stat
        assert "Mode:  0700" in seen.stat("/etc/NetworkManager/system-connections")
        assert "Mode:  0755" in seen.stat("/usr/local/sbin")
        assert 'Fast link dest: "../a.service"' in seen.stat(WANTED.links[0][0])
        assert "ssh_host_rsa_key" not in seen.names("/etc/ssh")
        assert seen.text("/etc/network/interfaces") == DEBIAN["/etc/network/interfaces"]
    set_backing_path(overlay, "/var/lib/libvirt/images/pragmaspec-0123-disk.raw", "raw")
    assert backing(overlay) == ("/var/lib/libvirt/images/pragmaspec-0123-disk.raw", "raw")


def test_selinux_labels_follow_the_policy_of_the_image(tmp_path: Path, scratch: Path) -> None:
    disk = ext_disk(tmp_path / "image", RED_HAT)
    wanted = OfflineFiles(
        files=WANTED.files, links=WANTED.links, contexts=RED_HAT["/etc/selinux/targeted/contexts/files/file_contexts"]
    )

    def contents(system: GuestSystem) -> OfflineFiles:
        assert system.contexts == wanted.contexts
        assert system.networks == ("ifcfg",)
        return wanted

    overlay = quick_overlay(BaseImage(disk, "raw"), OverlayRequest(DISK_BYTES, contents), scratch)
    assert overlay is not None
    with opened(overlay, disk, "raw", tmp_path / "look") as seen:
        assert "system_u:object_r:ssh_home_t:s0" in seen.label("/root/.ssh/authorized_keys")
        assert "system_u:object_r:ssh_home_t:s0" in seen.label("/root/.ssh")
        assert "system_u:object_r:default_t:s0" in seen.label("/root/vc-out.xml")
        assert "system_u:object_r:etc_t:s0" in seen.label("/etc/hostname")


def never(system: GuestSystem) -> OfflineFiles:
    raise AssertionError(system)


@pytest.mark.parametrize("why", ["no passwd", "apart", "unclean", "lvm beside it", "no file system"])
def test_unusual_disks_are_left_to_libguestfs(tmp_path: Path, scratch: Path, why: str) -> None:
    files = dict(DEBIAN)
    if why == "no passwd":
        del files["/etc/passwd"]
    if why == "apart":
        files["/etc/fstab"] = "# /root is not\nUUID=1 / ext4 defaults 0 1\nUUID=2 /usr/ ext4 defaults 0 2\n"
    disk = ext_disk(tmp_path / "image", files)
    with disk.open("r+b") as file:
        if why == "unclean":
            file.seek(PART_AT + 1024 + 0x60)
            (features,) = file.read(1)
            file.seek(PART_AT + 1024 + 0x60)
            file.write(bytes([features | 4]))
        if why == "lvm beside it":
            file.seek(1024 * 512 + 512)
            file.write(b"LABELONE")
        if why == "no file system":
            file.seek(PART_AT)
            file.write(bytes(PART_BYTES))
    assert quick_overlay(BaseImage(disk, "raw"), OverlayRequest(DISK_BYTES, never), scratch) is None


def test_a_disk_with_two_systems_is_left_to_libguestfs(tmp_path: Path, scratch: Path) -> None:
    disk = ext_disk(tmp_path / "image", DEBIAN)
    both = tmp_path / "both.raw"
    with both.open("wb") as file:
        file.truncate(2 * DISK_BYTES)
    sectors = PART_BYTES // 512
    table = f"label: dos\nstart=2048, size={sectors}\nstart={4096 + sectors}, size={sectors}\n"
    subprocess.run(["/sbin/sfdisk", "-q", both], input=table, text=True, check=True, capture_output=True)
    root = (disk.parent / "root.ext4").read_bytes()
    with both.open("r+b") as file:
        for at in (2048, 4096 + sectors):
            file.seek(at * 512)
            file.write(root)
    assert len(probe_partitions(both)) == 2
    assert quick_overlay(BaseImage(both, "raw"), OverlayRequest(2 * DISK_BYTES, never), scratch) is None


def test_a_full_file_system_is_detected(tmp_path: Path, scratch: Path) -> None:
    disk = ext_disk(tmp_path / "image", DEBIAN)
    large = OfflineFiles(files=(GuestFile(path="/etc/large", mode=0o644, content="x" * (PART_BYTES + 2**20)),))
    assert quick_overlay(BaseImage(disk, "raw"), OverlayRequest(DISK_BYTES, lambda system: large), scratch) is None


def test_partitions_are_probed(tmp_path: Path) -> None:
    disk = ext_disk(tmp_path / "image", DEBIAN)
    assert probe_partitions(disk) == ((1024 * 512, "plain"), (PART_AT, "ext"))
    assert probe_partitions(disk.parent / "root.ext4") == ((0, "ext"),)
    fat = tmp_path / "fat"
    with fat.open("wb") as file:
        file.truncate(2**20)
    assert probe_partitions(fat) == ((0, "plain"),)
    assert probe_partitions(partitioned(fat, tmp_path / "disk")) == ((1024 * 512, "plain"), (PART_AT, "plain"))


def test_existing_folders_keep_their_mode(tmp_path: Path, scratch: Path) -> None:
    folder = tree(tmp_path / "image" / "tree", DEBIAN) / "root"
    folder.chmod(0o711)
    disk = ext_disk(tmp_path / "image", {})
    overlay = quick_overlay(BaseImage(disk, "raw"), OverlayRequest(DISK_BYTES, lambda system: WANTED), scratch)
    assert overlay is not None
    with opened(overlay, disk, "raw", tmp_path / "look") as seen:
        assert "Mode:  0711" in seen.stat("/root")


def test_written_files_are_verified(tmp_path: Path) -> None:
    """A write that silently does nothing, as on a read-only file, is an error."""
    disk = ext_disk(tmp_path / "image", DEBIAN, partition=False)
    system = ExtFileSystem(disk.with_name("absent"), 0, PART_BYTES, tmp_path)
    assert system.inspect() is None
    with pytest.raises(NotWrittenError):
        system.write(WANTED)
