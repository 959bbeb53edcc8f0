"""Small disks with the files of a system, and access to the content of overlays."""

import json
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from pragmaspec.images.debian.ext4 import make_ext4
from pragmaspec.images.offline.overlay_export import export_disk

EPOCH = 1_700_000_000
PART_AT = 2048 * 512
PART_BYTES = 24 * 2**20
DISK_BYTES = PART_AT + PART_BYTES + 2**20
POLICY = "/etc/selinux/targeted/contexts/files/file_contexts"
DEBIAN = {
    "/etc/passwd": "root:x:0:0:root:/root:/bin/sh\n",
    "/etc/hostname": "appliance\n",
    "/etc/network/interfaces": "auto lo\niface lo inet loopback\n",
    "/etc/ssh/ssh_host_rsa_key": "shared by all copies\n",
    "/etc/machine-id": "0123456789abcdef0123456789abcdef\n",
    "/root/.ssh/authorized_keys": "ssh-rsa foreign\n",
}
RED_HAT = {
    "/etc/passwd": "root:x:0:0:root:/root:/bin/sh\n",
    "/etc/sysconfig/network-scripts/ifup-eth": "#!/bin/sh\n",
    "/etc/selinux/config": "SELINUX=enforcing\nSELINUXTYPE=targeted\n",
    POLICY: (
        "/.*\tsystem_u:object_r:default_t:s0\n/etc/.*\tsystem_u:object_r:etc_t:s0\n"
        "/root/\\.ssh(/.*)?\tsystem_u:object_r:ssh_home_t:s0\n"
    ),
}


def tree(directory: Path, files: Mapping[str, str]) -> Path:
    """Write ``files`` below a new directory."""
    for path, text in files.items():
        file = directory / path[1:]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return directory


def ext_disk(directory: Path, files: Mapping[str, str], *, partition: bool = True) -> Path:
    """A raw disk with an ext4 file system that holds ``files``, in a partition or on the whole disk."""
    directory.mkdir(exist_ok=True)
    root, disk = directory / "root.ext4", directory / "disk.raw"
    make_ext4(tree(directory / "tree", files), root, size_bytes=PART_BYTES, seed="offline", epoch=EPOCH)
    return partitioned(root, disk) if partition else root


def partitioned(root: Path, disk: Path) -> Path:
    """A raw disk with a GPT whose second partition is ``root``; the first one is small and empty."""
    with disk.open("wb") as file:
        file.truncate(PART_AT + root.stat().st_size + 2**20)
    sectors = root.stat().st_size // 512
    bios = "21686148-6449-6E6F-744E-656564454649"
    table = f"label: gpt\nfirst-lba: 34\nstart=1024, size=1024, type={bios}\nstart=2048, size={sectors}\n"
    subprocess.run(["/sbin/sfdisk", "-q", disk], input=table, text=True, check=True, capture_output=True)
    with disk.open("r+b") as file:
        file.seek(PART_AT)
        file.write(root.read_bytes())
    return disk


def xfs_disk(directory: Path, files: Mapping[str, str]) -> Path:
    """A raw disk with ``files`` on XFS in its second partition, like Red Hat's; created from a prototype, without a mount."""
    directory.mkdir(exist_ok=True)
    root, prototype = directory / "root.xfs", directory / "prototype"
    top = tree(directory / "tree", files)
    prototype.write_text("/none\n0 0\nd--755 0 0\n" + "".join(_listed(top)) + "$\n")
    with root.open("wb") as file:
        file.truncate(300 * 2**20)
    subprocess.run(["/sbin/mkfs.xfs", "-q", "-p", prototype, root], check=True, capture_output=True)
    return partitioned(root, directory / "disk.raw")


def _listed(folder: Path) -> Iterator[str]:
    for entry in sorted(folder.iterdir()):
        if entry.is_dir():
            yield f"{entry.name} d--755 0 0\n"
            yield from _listed(entry)
            yield "$\n"
        else:
            yield f"{entry.name} ---644 0 0 {entry}\n"


class ExtReader:
    """Reads an ext file system with debugfs."""

    def __init__(self, device: str) -> None:
        self._device = device

    def text(self, path: str) -> str:
        return self._debugfs(f"cat {path}")

    def stat(self, path: str) -> str:
        return self._debugfs(f"stat {path}")

    def label(self, path: str) -> str:
        return self._debugfs(f"ea_get -V {path} security.selinux").strip()

    def names(self, folder: str) -> set[str]:
        return {line.split("/")[5] for line in self._debugfs(f"ls -p {folder}").splitlines() if line.startswith("/")}

    def _debugfs(self, command: str) -> str:
        return subprocess.run(["/sbin/debugfs", "-R", command, self._device], capture_output=True, text=True, check=True).stdout


@contextmanager
def opened(overlay: Path, base: Path, format_: str, scratch: Path, offset: int = PART_AT) -> Iterator[ExtReader]:
    """Open the file system of an overlay, which must be consistent."""
    scratch.mkdir()
    with export_disk(overlay, base, format_, scratch) as disk:
        raw = scratch / "copy.raw"
        raw.write_bytes(disk.read_bytes()[offset:])
    done = subprocess.run(["/sbin/e2fsck", "-f", "-n", raw], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    yield ExtReader(str(raw))


def backing(overlay: Path) -> tuple[str, str]:
    """Path and format of the backing file in the header of an overlay."""
    result = subprocess.run(["qemu-img", "info", "-U", "--output=json", overlay], capture_output=True, text=True, check=True)
    info = json.loads(result.stdout)
    return info["full-backing-filename"], info["backing-filename-format"]
