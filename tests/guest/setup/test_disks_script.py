"""The script that sets up further disks, run with real programs for file systems on files, and a pretended mount."""

import os
import subprocess
from fcntl import LOCK_EX, LOCK_UN, flock
from pathlib import Path

import pytest

from pragmaspec.guest.setup.disks import DISKS_SCRIPT_TEXT, DISKS_TABLE, SERIAL_TAG

MIB = 2**20
_MOUNT = """\
#!/bin/sh
for last; do :; done
case $last in
  */drive-*) cp -r "$ROOT/config-drive/." "$last" ;;
  *) echo "$1 $last ext4 rw 0 0" >>"$ROOT/proc/mounts" ;;
esac
"""
_UMOUNT = """\
#!/bin/sh
case $1 in */drive-*) exec rm -r "$1/openstack" ;; esac
grep -v " $1 " "$ROOT/proc/mounts" >"$ROOT/rest"
mv "$ROOT/rest" "$ROOT/proc/mounts"
"""


class Guest:
    """A directory as the root of a guest."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for directory in ("etc/pragmaspec", "sys/block", "dev", "proc", "programs"):
            (root / directory).mkdir(parents=True)
        (root / "proc" / "mounts").touch()
        self.script = root / "script"
        self.script.write_text(DISKS_SCRIPT_TEXT)
        for name, text in (("mount", _MOUNT), ("umount", _UMOUNT), ("restorecon", "#!/bin/sh\n")):
            (root / "programs" / name).write_text(text)
            (root / "programs" / name).chmod(0o755)

    def plug(self, name: str, size_bytes: int = 32 * MIB, content: bytes = b"", device: str = "vdc") -> Path:
        """Attach a disk, or make it larger."""
        (self.root / "sys" / "block" / device).mkdir(exist_ok=True)
        (self.root / "sys" / "block" / device / "serial").write_text(name)
        file = self.root / "dev" / device
        with file.open("r+b" if file.exists() else "w+b") as disk:
            disk.write(content)
            disk.truncate(size_bytes)
        return file

    def run(self, *lines: str, status: int = 0) -> str:
        """Run the script with a table of ``lines``; mount points are below the root."""
        table = "".join(f"{line.replace(' /', f' {self.root}/')}\n" for line in lines)
        self.root.joinpath(DISKS_TABLE.removeprefix("/")).write_text(table)
        environment = {**os.environ, "PATH": f"{self.root}/programs:/usr/sbin:/sbin:{os.environ['PATH']}", "ROOT": str(self.root)}
        done = subprocess.run(
            ["/bin/sh", self.script, self.root], env=environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == status, done.stderr
        return done.stderr

    def mounts(self) -> list[str]:
        """The mount points."""
        lines = (self.root / "proc" / "mounts").read_text().splitlines()
        return [line.split()[1].removeprefix(str(self.root)) for line in lines]


@pytest.fixture
def guest(tmp_path: Path) -> Guest:
    return Guest(tmp_path)


def blocks(file: Path) -> int:
    """The number of blocks of an ext4 file system, with the block size."""
    shown = subprocess.run(["/usr/sbin/dumpe2fs", "-h", file], capture_output=True, text=True, check=True).stdout
    facts = dict(line.split(":", 1) for line in shown.splitlines() if ":" in line)
    return int(facts["Block count"]) * int(facts["Block size"])


def test_an_empty_disk_is_formatted_once_and_mounted(guest: Guest) -> None:
    file = guest.plug("data")
    guest.run("data ext4 /data")
    assert guest.mounts() == ["/data"]
    uuid = file.read_bytes()[1024 + 104 : 1024 + 120]
    (guest.root / "proc" / "mounts").write_text("")
    guest.run("data ext4 /data")
    assert guest.mounts() == ["/data"]
    assert file.read_bytes()[1024 + 104 : 1024 + 120] == uuid


@pytest.mark.parametrize(
    "content",
    [b"\0" * 510 + b"\x55\xaa", b"words", b"\0" * (MIB + 5) + b"far inside"],
    ids=["partition table", "words", "second mebibyte"],
)
def test_a_disk_with_contents_is_never_formatted(guest: Guest, content: bytes) -> None:
    file = guest.plug("data", content=content)
    before = file.read_bytes()
    assert "unknown contents" in guest.run("data ext4 /data", status=1)
    assert file.read_bytes() == before
    assert guest.mounts() == []


def test_a_foreign_file_system_is_kept(guest: Guest) -> None:
    file = guest.plug("data")
    subprocess.run(["/usr/sbin/mkfs.ext2", "-q", "-F", file], check=True)
    uuid = file.read_bytes()[1024 + 104 : 1024 + 120]
    guest.run("data xfs /data")
    assert file.read_bytes()[1024 + 104 : 1024 + 120] == uuid
    assert guest.mounts() == ["/data"]


def test_an_interrupted_formatting_is_repeated(guest: Guest) -> None:
    guest.plug("data", content=b"\0" * 4096 + b"half a file system")
    marker = guest.root / "var" / "lib" / "pragmaspec" / "formatting-data"
    marker.parent.mkdir(parents=True)
    marker.touch()
    guest.run("data ext4 /data")
    assert guest.mounts() == ["/data"]
    assert not marker.exists()


def test_a_file_system_grows_with_its_disk(guest: Guest) -> None:
    guest.plug("data")
    guest.run("data ext4 /data")
    file = guest.plug("data", size_bytes=64 * MIB)
    guest.run("data ext4 /data")
    assert blocks(file) == 64 * MIB


def test_a_disk_moves_to_another_mount_point_and_is_released(guest: Guest) -> None:
    guest.plug("data")
    guest.run("data ext4 /data")
    guest.run("data ext4 /work")
    assert guest.mounts() == ["/work"]
    guest.run("data ext4 -")
    assert guest.mounts() == []
    guest.run("data ext4 /work")
    guest.run()
    assert guest.mounts() == []


def test_a_disk_without_a_file_system_is_left_alone(guest: Guest) -> None:
    file = guest.plug("data")
    guest.run("data none -")
    assert not any(file.read_bytes())


def test_problems_do_not_stop_the_other_disks(guest: Guest) -> None:
    guest.plug("data")
    guest.plug("quick", device="vdd")
    problems = guest.run("absent ext4 /absent", "quick missing /quick", "data ext4 /data", status=1)
    assert "no disk with the serial number absent" in problems
    assert "mkfs.missing is not installed" in problems
    assert guest.mounts() == ["/data"]


def test_the_first_mount_takes_owner_and_mode_of_the_directory(guest: Guest) -> None:
    guest.plug("data")
    (guest.root / "shared").mkdir()
    (guest.root / "shared").chmod(0o1777)
    guest.run("data ext4 /shared")
    assert (guest.root / "shared").stat().st_mode & 0o7777 == 0o1777


def test_two_runs_wait_for_each_other(guest: Guest) -> None:
    lock = guest.root / "var/lib/pragmaspec/disks.lock"
    lock.parent.mkdir(parents=True)
    with lock.open("w") as held:
        flock(held, LOCK_EX)
        with subprocess.Popen(["/bin/sh", guest.script, guest.root]) as second:
            with pytest.raises(subprocess.TimeoutExpired):
                second.wait(0.5)
            flock(held, LOCK_UN)
            assert second.wait(60) == 0


def test_without_a_table_nothing_happens(guest: Guest) -> None:
    subprocess.run(["/bin/sh", guest.script, guest.root], check=True)


_CURL = """\
#!/bin/sh
for last; do :; done
case $last in
  */api/token) echo a-token ;;
  *) cat "$ROOT/tags/${last##*/}" 2>/dev/null || exit 22 ;;
esac
"""
"""The metadata service of EC2, whose tags are files."""
_SLEEP = """\
#!/bin/sh
if [ -e "$ROOT/late" ]; then mv "$ROOT/late" "$ROOT/sys/block/nvme1n1"; fi
"""
"""A pause in which a disk with this name appears."""


@pytest.fixture
def guest_at_ec2(guest: Guest) -> Guest:
    for name, text in (("curl", _CURL), ("sleep", _SLEEP)):
        (guest.root / "programs" / name).write_text(text)
        (guest.root / "programs" / name).chmod(0o755)
    (guest.root / "sys" / "class" / "dmi" / "id").mkdir(parents=True)
    (guest.root / "sys" / "class" / "dmi" / "id" / "sys_vendor").write_text("Amazon EC2\n")
    (guest.root / "tags").mkdir()
    return guest


def plug_nvme(guest: Guest, serial: str, device: str, directory: str = "") -> Path:
    """Attach a disk whose serial number the site has chosen, padded as NVMe does."""
    at = guest.root / (directory or f"sys/block/{device}") / "device"
    at.mkdir(parents=True)
    (at / "serial").write_text(f"{serial}   \n")
    file = guest.root / "dev" / device
    with file.open("w+b") as disk:
        disk.truncate(32 * MIB)
    return file


def test_serial_numbers_of_ec2_are_in_tags(guest_at_ec2: Guest) -> None:
    plug_nvme(guest_at_ec2, "vol0abc", "nvme2n1")
    plug_nvme(guest_at_ec2, "vol0def", "nvme1n1")
    (guest_at_ec2.root / "tags" / f"{SERIAL_TAG}data").write_text("vol0def")
    guest_at_ec2.run("data ext4 /data")
    assert f"{guest_at_ec2.root}/dev/nvme1n1 " in (guest_at_ec2.root / "proc" / "mounts").read_text()
    assert not any((guest_at_ec2.root / "dev" / "nvme2n1").read_bytes())


def test_serial_numbers_of_ec2_are_kept_for_boots_without_a_network(guest_at_ec2: Guest) -> None:
    plug_nvme(guest_at_ec2, "vol0def", "nvme1n1")
    tag = guest_at_ec2.root / "tags" / f"{SERIAL_TAG}data"
    tag.write_text("vol0def")
    guest_at_ec2.run("data ext4 /data")
    (guest_at_ec2.root / "proc" / "mounts").write_text("")
    tag.unlink()
    guest_at_ec2.run("data ext4 /data")
    assert guest_at_ec2.mounts() == ["/data"]


def test_a_disk_that_ec2_attaches_late_is_awaited(guest_at_ec2: Guest) -> None:
    plug_nvme(guest_at_ec2, "vol0def", "nvme1n1", "late")
    (guest_at_ec2.root / "tags" / f"{SERIAL_TAG}data").write_text("vol0def")
    guest_at_ec2.run("data ext4 /data")
    assert guest_at_ec2.mounts() == ["/data"]


def test_a_disk_without_a_tag_is_missing_at_ec2(guest_at_ec2: Guest) -> None:
    plug_nvme(guest_at_ec2, "vol0def", "nvme1n1")
    assert "no disk with the serial number data" in guest_at_ec2.run("data ext4 /data", status=1)


METADATA = (
    '{"hostname": "n", "devices": [{"type": "disk", "serial": "%s", "bus": "pci", "tags": ["%s"]}, {"type": "nic", "tags": []}]}'
)
SERIAL = "6188416d-ca50-4276-855d-00cf78432bc0"


def drive(guest: Guest, tag: str, serial: str = SERIAL) -> None:
    """Give the guest a config drive of OpenStack."""
    (guest.root / "dev" / "sr0").touch()
    latest = guest.root / "config-drive/openstack/latest"
    latest.mkdir(parents=True, exist_ok=True)
    (latest / "meta_data.json").write_text(METADATA % (serial, tag))


def service(guest: Guest, text: str) -> None:
    """Let curl return ``text``, as the metadata service does."""
    (guest.root / "answer").write_text(text)
    (guest.root / "programs" / "curl").write_text('#!/bin/sh\ncat "$ROOT/answer"\n')
    (guest.root / "programs" / "curl").chmod(0o755)


def test_a_disk_is_found_by_its_tag_where_the_cloud_chooses_serial_numbers(guest: Guest) -> None:
    guest.plug(SERIAL[:20])
    drive(guest, "data")
    guest.run("data ext4 /data")
    assert guest.mounts() == ["/data"]
    assert (guest.root / "dev/disk/by-id/pragmaspec-data").resolve() == guest.root / "dev" / "vdc"
    assert not list(guest.root.glob("var/lib/pragmaspec/drive*")), "the config drive is unmounted"


def test_a_disk_that_was_attached_later_is_found_by_the_metadata_service(guest: Guest) -> None:
    guest.plug(SERIAL[:20])
    drive(guest, "other", serial="0" * 36)
    service(guest, "unknown host")
    assert "no disk with the serial number data" in guest.run("data ext4 /data", status=1)
    drive(guest, "other", serial="0" * 36)
    service(guest, METADATA % (SERIAL, "data"))
    guest.run("data ext4 /data")
    assert guest.mounts() == ["/data"]
    guest.plug("11111111-ca50-4276-8")
    drive(guest, "data")
    service(guest, METADATA % ("11111111-ca50-4276-855d-00cf78432bc0", "data"))
    guest.run("data ext4 /data")
    service(guest, "")
    guest.run("data ext4 /data")
    assert (guest.root / "var/lib/pragmaspec/serial-data").read_text() == "11111111-ca50-4276-855d-00cf78432bc0\n"
