r"""How a disk can start: by the boot code that a BIOS runs, or by a loader that UEFI firmware finds.

A node's firmware has no memory of the disk at first, so only what is at the standard place counts: the first sector, and
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
"""Names of loaders in ``\\EFI\\BOOT``, in lower case, and libvirt's names of the architectures that they are for."""
_PROGRAM = b"MZ"
_CHAINING = (b"Missing operating system", b"Invalid partition table", bytes.fromhex("fab800108ed0bc00b0b80000"))
"""In boot code that does nothing but start the active partition: Windows and Syslinux, DOS, libparted."""
_NO_CODE = b"not a bootable disk"
"""The message that mkfs.fat writes where boot code would be."""
_MOST_FILE_SYSTEMS, _MOST_FOLDERS = 8, 16


class BootSupport(Frozen, frozen=True):
    """How a disk can start. ``uefi``: the architectures that it has a loader for.

    ``found``: paths of loaders that a fresh UEFI firmware would not find; ``partition``: whether there is a place for loaders;
    ``coded``: whether there is any boot code; ``sector_bytes``: what the partition table counts in.
    """

    bios: bool
    uefi: tuple[str, ...] = ()
    found: tuple[str, ...] = ()
    partition: bool = False
    has_boot_code: bool = False
    sector_bytes: int = SECTOR

    @property
    def default(self) -> Firmware:
        """The firmware if the spec names none: UEFI for a disk that only UEFI can start, else BIOS."""
        return "uefi" if self.uefi and not self.bios else "bios"

    def missing_for(self, firmware: Firmware) -> str:
        """Why ``firmware`` cannot start it: what was looked for and not found; empty when it can, or may."""
        if firmware == "bios":
            return "" if self.bios or self.has_boot_code else "no boot code in its first sector"
        return "" if self.uefi else self._no_loader()

    @property
    def nothing(self) -> str:
        """Why nothing can start it; empty when something can."""
        if self.bios or self.uefi:
            return ""
        return " and ".join(dict.fromkeys((self.missing_for("bios"), self.missing_for("uefi"))))

    def _no_loader(self) -> str:
        if self.sector_bytes != SECTOR:
            return f"a partition table for sectors of {self.sector_bytes} bytes, where the disks of nodes have 512"
        if self.found:
            return (
                f"no \\EFI\\BOOT\\BOOTX64.EFI on its EFI system partition, only {', '.join(self.found)}, where the firmware of a "
                "new node does not look"
            )
        if self.partition:
            return "no \\EFI\\BOOT\\BOOTX64.EFI on its EFI system partition"
        return "no EFI system partition"


def boot_support(disk: RandomAccess) -> BootSupport:
    """How ``disk`` can start. ``disk`` has the bytes that a guest sees."""
    table = read_partition_layout(disk)
    files = tuple(_file_systems(disk, table)) if table.sector_bytes == SECTOR else ()
    loaders = tuple(dict.fromkeys(arch for files_ in files for arch in _started(files_)))
    others = () if loaders else tuple(path for files_ in files for path in _others(files_))
    coded = any(table.code) and not (table.label == "none" and _NO_CODE in disk.at(0, SECTOR))
    placed = any(partition.kind in EFI_SYSTEM for partition in table.partitions) or table.sector_bytes != SECTOR
    return BootSupport(
        bios=coded and (not loaders or _starts_by_code(disk, table)),
        uefi=loaders,
        found=others,
        partition=bool(others) or placed,
        has_boot_code=coded,
        sector_bytes=table.sector_bytes,
    )


def boot_support_of_file(file: Path) -> BootSupport:
    """How the inspected raw or qcow2 disk in ``file`` can start. Raises ImageError when it cannot be read."""
    with open_regular(file) as window:
        return boot_support(guest_view(window))


def _starts_by_code(disk: RandomAccess, table: PartitionLayout) -> bool:
    """True if the boot code can start a disk that also has a UEFI loader.

    Windows, parted and others always write boot code that only starts the active partition, if there is one.
    """
    if table.label == "none" or not any(word in table.code for word in _CHAINING):
        return True
    return any(_can_start(disk, partition) for partition in table.partitions if partition.active)


def _can_start(disk: RandomAccess, partition: Partition) -> bool:
    sector = disk.at(partition.offset, SECTOR)
    return sector[510:] == b"\x55\xaa" and _NO_CODE not in sector


def _file_systems(disk: RandomAccess, table: PartitionLayout) -> Iterator[Fat]:
    """Every FAT file system: firmware looks into all of them, whatever the table calls them."""
    offsets = [0] if table.label == "none" else [partition.offset for partition in table.partitions]
    found = (open_fat(disk, offset) for offset in dict.fromkeys(offsets))
    yield from islice(filter(None, found), _MOST_FILE_SYSTEMS)


def _started(files: Fat) -> Iterator[str]:
    """The architectures whose firmware starts something here."""
    folder = files.find("EFI", "BOOT")
    if folder is None or not folder.directory:
        return
    for entry in files.entries(folder):
        arch = LOADERS.get(entry.name.lower())
        if arch and _is_program(files, entry):
            yield arch


def _others(files: Fat) -> Iterator[str]:
    """Loaders at other places."""
    top = files.find("EFI")
    if top is None or not top.directory:
        return
    folders = [entry for entry in files.entries(top) if entry.directory][:_MOST_FOLDERS]
    for folder in folders:
        for entry in files.entries(folder):
            if entry.name.lower().endswith(".efi") and _is_program(files, entry):
                yield f"\\EFI\\{_shown(folder.name)}\\{_shown(entry.name)}"
                break


def _is_program(files: Fat, entry: FatEntry) -> bool:
    return not entry.directory and files.begins(entry, len(_PROGRAM)) == _PROGRAM


def _shown(name: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in name)
