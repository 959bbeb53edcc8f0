"""A disk without cloud-init: boot loader, partition table, and an ext4 root file system with ifupdown.

Programs and kernel are those of the tiny guest.
"""

import os
import shutil
from pathlib import Path

from pragmaspec.images.debian import ext4, initramfs
from tests.guest_images import tiny
from tests.guest_images.bootable import BOOT_AT, BOOT_SECTORS, CODE_BYTES, MBR_CODE, PROGRAMS_AT, SECTOR, run, write_boot

ROOT_BYTES = 64 * 2**20
FOLDERS = ("dev", "proc", "sys", "run", "disk", "tmp", "root", "home", "var/log", "etc/network", "etc/ssh", "etc/dropbear",
           "bin", "sbin", "usr/bin", "usr/sbin", "usr/lib/modules", "lib/x86_64-linux-gnu", "lib64")  # fmt: skip
OLD_KEY = "etc/ssh/ssh_host_rsa_key"
IFUPDOWN_FOLDERS = ("if-up.d", "if-down.d", "if-pre-up.d", "if-post-down.d")


def root_tree(tree: Path, packages: Path) -> None:
    """Write the root file system's files to ``tree``, from unpacked Debian ``packages``."""
    for folder in (*FOLDERS, *(f"etc/network/{name}" for name in IFUPDOWN_FOLDERS)):
        (tree / folder).mkdir(parents=True, exist_ok=True)
    # ifupdown's list of active interfaces must not survive a reboot.
    (tree / "var/run").symlink_to("/run")
    (tree / "root").chmod(0o700)
    shutil.copy(packages / "bin/busybox", tree / "bin/busybox")
    for applet in tiny.applets(packages):
        link = tree / applet
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to("/bin/busybox")
    programs = (*tiny.START_PROGRAMS, *tiny.DISK_PROGRAMS)
    for program in programs:
        (tree / program).unlink(missing_ok=True)
        shutil.copy((packages / program).resolve(), tree / program)
    for name, path in tiny.libraries(packages, programs).items():
        if "/" not in name:  # the loader is listed by its path
            shutil.copy(path, tree / "lib/x86_64-linux-gnu" / name)
    shutil.copy((packages / tiny.LOADER).resolve(), tree / tiny.LOADER)
    (modules,) = packages.glob("lib/modules/*")
    order = initramfs.load_order(modules, tiny.NAT_MODULES)
    for module in order:
        shutil.copy(module, tree / "usr/lib/modules")
    (tree / "usr/lib/modules/nat.order").write_bytes(tiny.names(order))
    _settings(tree)


def _settings(tree: Path) -> None:
    source = tiny.HERE / "offline_root"
    shutil.copy(source / "rc", tree / "etc/rc")
    (tree / "etc/rc").chmod(0o755)
    texts = {
        "etc/inittab": "::sysinit:/etc/rc\n::shutdown:/bin/sync\nttyS0::askfirst:-/bin/sh\n",
        "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nsshd:x:100:65534::/run:/bin/false\n",
        "etc/group": "root:x:0:\nnogroup:x:65534:\n",
        "etc/shells": "/bin/sh\n",
        "etc/nsswitch.conf": "hosts: files dns\n",
        "etc/profile": "export PATH=/usr/sbin:/usr/bin:/sbin:/bin\n",
        "etc/hostname": "appliance\n",
        "etc/hosts": "127.0.0.1 localhost appliance\n",
        "etc/network/interfaces": "auto lo\niface lo inet loopback\nauto eth0\niface eth0 inet dhcp\n",
        "etc/machine-id": "0123456789abcdef0123456789abcdef\n",
        OLD_KEY: "the key that all copies of this image share\n",
        f"{OLD_KEY}.pub": "its other half\n",
    }
    for path, text in texts.items():
        (tree / path).write_text(text)


def build_without_cloud_init(image: tiny.TinyImage, directory: Path) -> Path:
    """Build the raw disk in ``directory``: syslinux, kernel and initial RAM disk on FAT, then the root file system."""
    packages, tree, root, boot, disk = (directory / name for name in ("packages", "tree", "root", "boot", "disk.raw"))
    tiny.unpack(packages)
    root_tree(tree, packages)
    for path in (tree, *tree.rglob("*")):
        if not path.is_symlink():
            os.utime(path, (tiny.EPOCH, tiny.EPOCH))
    ext4.make_ext4(tree, root, size_bytes=ROOT_BYTES, seed="without cloud-init", epoch=tiny.EPOCH, label="root")
    start = (tiny.HERE / "offline_root" / "boot").read_bytes()
    write_boot(image, boot, initramfs.cpio_archive([initramfs.cpio_file("init", start, 0o755)]))
    with disk.open("wb") as file:
        file.truncate(PROGRAMS_AT * SECTOR + ROOT_BYTES)
    parts = f"start={BOOT_AT}, size={BOOT_SECTORS}, type=e, bootable\nstart={PROGRAMS_AT}, type=83\n"
    run("sfdisk", "-q", disk, text=f"label: dos\nlabel-id: 0x70726167\n{parts}")
    with disk.open("r+b") as file:
        file.write(MBR_CODE.read_bytes()[:CODE_BYTES])
        for part, at in ((boot, BOOT_AT), (root, PROGRAMS_AT)):
            file.seek(at * SECTOR)
            file.write(part.read_bytes())
    shutil.rmtree(packages)
    shutil.rmtree(tree)
    return disk
