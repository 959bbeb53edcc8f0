"""The tiny guest on a disk with a GPT and an EFI system partition, without BIOS boot code, like cloud images for UEFI.

The boot loader is a single file at the standard path: systemd's stub with kernel, initial RAM disk and command line.
"""

from pathlib import Path

from pragmaspec.images.debian import initramfs
from tests.guest_images.bootable import SECTOR, run
from tests.guest_images.tiny import HERE, TinyImage

BOOT_AT, BOOT_SECTORS = 2048, 98304
PROGRAMS_AT = BOOT_AT + BOOT_SECTORS
TABLE_SECTORS = 2048
"""Space for the backup partition table at the end."""
STUB = Path("/usr/lib/systemd/boot/efi/linuxx64.efi.stub")
SECTIONS = {".cmdline": 0x30000, ".linux": 0x2000000, ".initrd": 0x4000000}
"""Load addresses of the sections, from systemd-stub(7)."""


def build_uefi(tiny: TinyImage, directory: Path) -> Path:
    """Build a raw disk: a unified kernel image on FAT, then the guest's programs on ext4."""
    directory.mkdir(parents=True, exist_ok=True)
    disk, boot, programs = directory / "uefi", directory / "esp", directory / "programs"
    run("qemu-img", "convert", "-f", "qcow2", "-O", "raw", tiny.disk, programs)
    sectors = programs.stat().st_size // SECTOR
    with disk.open("wb") as file:
        file.truncate((PROGRAMS_AT + sectors + TABLE_SECTORS) * SECTOR)
    table = f"label: gpt\nstart={BOOT_AT}, size={BOOT_SECTORS}, type=U\nstart={PROGRAMS_AT}, size={sectors}, type=L\n"
    run("sfdisk", "-q", disk, text=table)
    write_esp(boot, unified_kernel(tiny, directory))
    with disk.open("r+b") as file:
        for part, at in ((boot, BOOT_AT), (programs, PROGRAMS_AT)):
            file.seek(at * SECTOR)
            file.write(part.read_bytes())
    return disk


def unified_kernel(tiny: TinyImage, directory: Path) -> Path:
    """Build a unified kernel image: stub, kernel, initial RAM disk and command line in one EFI binary."""
    start = (HERE / "tiny_root" / "rc").read_text().replace("/dev/vda /disk", "/dev/vda2 /disk")
    change = initramfs.cpio_archive([initramfs.cpio_file("etc/rc", start.encode(), 0o755)])
    parts = {
        ".cmdline": tiny.cmdline.encode(),
        ".linux": tiny.vmlinuz.read_bytes(),
        ".initrd": tiny.initrd.read_bytes() + change,
    }
    unified, words = directory / "unified.efi", list[str]()
    for name, content in parts.items():
        file = directory / name.removeprefix(".")
        file.write_bytes(content)
        words += ["--add-section", f"{name}={file}", "--change-section-vma", f"{name}={SECTIONS[name]:#x}"]
    run("objcopy", *words, STUB, unified)
    return unified


def write_esp(esp: Path, loader: Path | None, path: str = "EFI/BOOT/BOOTX64.EFI", sectors: int = BOOT_SECTORS) -> None:
    """Write a FAT file system of ``sectors`` with ``loader`` at ``path``; without a loader, it is empty."""
    with esp.open("wb") as file:
        file.truncate(sectors * SECTOR)
    run("mkfs.vfat", "-i", "70726167", esp)
    if loader is not None:
        folders = [f"::{parent}" for parent in reversed(Path(path).parents) if parent.name]
        run("mmd", "-i", esp, *folders)
        run("mcopy", "-i", esp, loader, f"::{path}")
