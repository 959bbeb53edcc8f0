"""The tiny guest on a disk with an MBR, two partitions and a boot loader, like the disks of physical machines."""

import subprocess
from pathlib import Path

from pragmaspec.images.debian import initramfs
from tests.guest_images.tiny import HERE, TinyImage

SECTOR = 512
BOOT_AT, BOOT_SECTORS = 2048, 98304
PROGRAMS_AT = BOOT_AT + BOOT_SECTORS
MBR_CODE = Path("/usr/lib/syslinux/mbr/mbr.bin")
CODE_BYTES = 440


def build_bootable(tiny: TinyImage, directory: Path) -> Path:
    """Build a raw disk: syslinux with kernel and initial RAM disk on FAT, then the guest's programs on ext4."""
    start = (HERE / "tiny_root" / "rc").read_text().replace("/dev/vda /disk", "/dev/vda2 /disk")
    return build_disk(tiny, directory, initramfs.cpio_archive([initramfs.cpio_file("etc/rc", start.encode(), 0o755)]))


def build_disk(tiny: TinyImage, directory: Path, change: bytes) -> Path:
    """Build the disk. ``change`` is a second initramfs archive, whose files replace or extend those of the guest."""
    disk, boot, programs = directory / "bootable", directory / "boot", directory / "programs"
    run("qemu-img", "convert", "-f", "qcow2", "-O", "raw", tiny.disk, programs)
    size = PROGRAMS_AT * SECTOR + programs.stat().st_size
    with disk.open("wb") as file:
        file.truncate(size)
    table = (
        f"label: dos\nlabel-id: 0x70726167\n"
        f"start={BOOT_AT}, size={BOOT_SECTORS}, type=e, bootable\nstart={PROGRAMS_AT}, type=83\n"
    )
    run("sfdisk", "-q", disk, text=table)
    write_boot(tiny, boot, change)
    with disk.open("r+b") as file:
        file.write(MBR_CODE.read_bytes()[:CODE_BYTES])
        for part, at in ((boot, BOOT_AT), (programs, PROGRAMS_AT)):
            file.seek(at * SECTOR)
            file.write(part.read_bytes())
    return disk


def write_boot(tiny: TinyImage, boot: Path, change: bytes) -> None:
    """Write the boot partition. ``change``: see :func:`build_disk`."""
    overlay = boot.with_name("overlay")
    overlay.write_bytes(change)
    config = boot.with_name("syslinux.cfg")
    config.write_text(f"DEFAULT tiny\nLABEL tiny\nKERNEL vmlinuz\nAPPEND initrd=initrd,overlay {tiny.cmdline}\n")
    with boot.open("wb") as file:
        file.truncate(BOOT_SECTORS * SECTOR)
    run("mkfs.vfat", "-h", str(BOOT_AT), "-i", "70726167", boot)
    run("syslinux", "--install", boot)
    for file, name in ((tiny.vmlinuz, "vmlinuz"), (tiny.initrd, "initrd"), (overlay, "overlay"), (config, "syslinux.cfg")):
        run("mcopy", "-i", boot, file, f"::{name}")


def run(*command: str | Path, text: str = "") -> None:
    """Run a program. Raises RuntimeError with its output if it fails."""
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C", "MTOOLS_SKIP_CHECK": "1"}
    done = subprocess.run(
        [str(word) for word in command], input=text, capture_output=True, text=True, env=environment, check=False
    )
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]}: {done.stdout}{done.stderr}")
