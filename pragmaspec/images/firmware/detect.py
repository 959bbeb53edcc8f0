r"""Detect the firmware that can boot a disk: a BIOS that runs its boot code, or UEFI firmware that finds its boot loader.

The firmware of a new node has no boot entries, so only the standard locations count: the first sector, and
``\EFI\BOOT\BOOT<architecture>.EFI`` on a FAT file system. Sources: UEFI specification 2.10, section 3.5.1.1; the boot
documentation of GRUB and Syslinux.
"""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from pragmaspec.frozen import Frozen
from pragmaspec.images.firmware.fat import Fat, FatEntry, open_fat
from pragmaspec.images.firmware.partition_tables import EFI_SYSTEM, SECTOR, Partition, PartitionLayout, read_partition_layout
from pragmaspec.images.formats.qcow2_reader import guest_view
from pragmaspec.images.formats.random_access import RandomAccess, open_regular
from pragmaspec.planning.wanted import Firmware

LOADERS = {
    "bootx64.efi": "x86_64",
    "bootia32.efi": "i686",
    "bootaa64.efi": "aarch64",
    "bootarm.efi": "armv7l",
    "bootriscv64.efi": "riscv64",
    "bootloongarch64.efi": "loongarch64",
}
"""Names of boot loaders in ``\\EFI\\BOOT``, in lower case, and libvirt's names of their architectures."""
_PROGRAM = b"MZ"
_CHAINING = (b"Missing operating system", b"Invalid partition table", bytes.fromhex("fab800108ed0bc00b0b80000"))
"""Parts of boot code that only starts the active partition: Windows and Syslinux, DOS, libparted."""
_NO_CODE = b"not a bootable disk"
"""The message that mkfs.fat writes in place of boot code."""
_MAX_FILE_SYSTEMS, _MAX_FOLDERS = 8, 16


class BootSupport(Frozen, frozen=True):
    """The firmware that can boot a disk. ``uefi``: the architectures of its boot loaders.

    ``other_loaders``: paths of loaders that new UEFI firmware does not find; ``has_esp``: it has an EFI system partition;
    ``sector_bytes``: sector size of its partition table.
    """

    bios: bool
    uefi: tuple[str, ...] = ()
    other_loaders: tuple[str, ...] = ()
    has_esp: bool = False
    has_boot_code: bool = False
    sector_bytes: int = SECTOR

    @property
    def default(self) -> Firmware:
        """The firmware if the spec names none: UEFI for a disk that only UEFI can boot, else BIOS."""
        return "uefi" if self.uefi and not self.bios else "bios"

    def missing_for(self, firmware: Firmware) -> str:
        """Return what the disk lacks for ``firmware``; empty if it can boot, or may."""
        if firmware == "bios":
            return "" if self.bios or self.has_boot_code else "no boot code in its first sector"
        return "" if self.uefi else self._no_loader()

    @property
    def unbootable(self) -> str:
        """Why no firmware can boot the disk; empty if one can."""
        if self.bios or self.uefi:
            return ""
        return " and ".join(dict.fromkeys((self.missing_for("bios"), self.missing_for("uefi"))))

    def _no_loader(self) -> str:
        if self.sector_bytes != SECTOR:
            return f"a partition table for sectors of {self.sector_bytes} bytes, but the disks of nodes have 512"
        if self.other_loaders:
            others = ", ".join(self.other_loaders)
            return (
                f"no \\EFI\\BOOT\\BOOTX64.EFI on its EFI system partition, only {others}, which the firmware of a new node does "
                "not find"
            )
        if self.has_esp:
            return "no \\EFI\\BOOT\\BOOTX64.EFI on its EFI system partition"
        return "no EFI system partition"


def boot_support(disk: RandomAccess) -> BootSupport:
    """Return what can boot ``disk``, which has the bytes as seen by a guest."""
    table = read_partition_layout(disk)
    files = tuple(_file_systems(disk, table)) if table.sector_bytes == SECTOR else ()
    loaders = tuple(dict.fromkeys(arch for files_ in files for arch in _loaders(files_)))
    others = () if loaders else tuple(path for files_ in files for path in _other_loaders(files_))
    code = any(table.code) and not (table.label == "none" and _NO_CODE in disk.read_at(0, SECTOR))
    has_esp = any(partition.kind in EFI_SYSTEM for partition in table.partitions) or table.sector_bytes != SECTOR
    return BootSupport(
        bios=code and (not loaders or _boot_code_works(disk, table)),
        uefi=loaders,
        other_loaders=others,
        has_esp=bool(others) or has_esp,
        has_boot_code=code,
        sector_bytes=table.sector_bytes,
    )


def boot_support_of_file(file: Path) -> BootSupport:
    """Return what can boot the inspected raw or qcow2 disk in ``file``. Raises ImageError if it cannot be read."""
    with open_regular(file) as opened:
        return boot_support(guest_view(opened))


def _boot_code_works(disk: RandomAccess, table: PartitionLayout) -> bool:
    """True if the boot code can boot a disk that also has a UEFI loader.

    Windows, parted and others always write boot code that starts the active partition, if there is one.
    """
    if table.label == "none" or not any(word in table.code for word in _CHAINING):
        return True
    return any(_is_bootable(disk, partition) for partition in table.partitions if partition.active)


def _is_bootable(disk: RandomAccess, partition: Partition) -> bool:
    sector = disk.read_at(partition.offset, SECTOR)
    return sector[510:] == b"\x55\xaa" and _NO_CODE not in sector


def _file_systems(disk: RandomAccess, table: PartitionLayout) -> Iterator[Fat]:
    """Yield every FAT file system: firmware reads all of them, whatever their type in the table."""
    offsets = [0] if table.label == "none" else [partition.offset for partition in table.partitions]
    found = (open_fat(disk, offset) for offset in dict.fromkeys(offsets))
    yield from islice(filter(None, found), _MAX_FILE_SYSTEMS)


def _loaders(files: Fat) -> Iterator[str]:
    """Yield the architectures of the boot loaders at the standard location."""
    folder = files.find("EFI", "BOOT")
    if folder is None or not folder.directory:
        return
    for entry in files.entries(folder):
        arch = LOADERS.get(entry.name.lower())
        if arch and _is_program(files, entry):
            yield arch


def _other_loaders(files: Fat) -> Iterator[str]:
    """Yield the paths of boot loaders at other locations."""
    top = files.find("EFI")
    if top is None or not top.directory:
        return
    folders = [entry for entry in files.entries(top) if entry.directory][:_MAX_FOLDERS]
    for folder in folders:
        for entry in files.entries(folder):
            if entry.name.lower().endswith(".efi") and _is_program(files, entry):
                yield f"\\EFI\\{_printable(folder.name)}\\{_printable(entry.name)}"
                break


def _is_program(files: Fat, entry: FatEntry) -> bool:
    return not entry.directory and files.read_start(entry, len(_PROGRAM)) == _PROGRAM


def _printable(name: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in name)
