"""The metadata of a Clonezilla directory, read and checked before anything is restored.

Source: ``ocs-functions`` of Clonezilla 5.3.17. ``disk`` and ``parts`` name the saved devices; ``<disk>-pt.sf`` is the partition
table, ``-pt.parted`` has the size of the disk, ``-mbr`` and ``-hidden-data-after-mbr`` are its first sectors, and
``swappt-*.info`` describe its swap areas.
"""

import re
from collections.abc import Iterator

from pragmaspec.errors import ImageError, Problem
from pragmaspec.frozen import Frozen
from pragmaspec.images.clonezilla.directory_names import StoredPartition, stored_partitions
from pragmaspec.images.clonezilla.partition_table import (
    GPT_SECTORS,
    SECTOR_BYTES,
    PartitionEntry,
    PartitionTable,
    parse_gpt,
    parse_sfdisk_dump,
)
from pragmaspec.images.formats.inspect import MAX_VIRTUAL_BYTES
from pragmaspec.images.transfer.cached_folder import ReadableFolder, missing_file_error
from pragmaspec.text import capitalized

MBR_CODE_BYTES = 446
"""Bytes of code and disk identifier in the first sector, before the partition table."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*")
_SIZE = re.compile(r"^Disk /dev/[^:]+: *([0-9]+)s\s*$", re.MULTILINE)
_SECTORS = re.compile(r"^Sector size \(logical/physical\): *([0-9]+)B", re.MULTILINE)
_GEOMETRY = re.compile(r"\b(cylinders|heads|sectors)=([0-9]+)")
_SWAP = re.compile(r'^(UUID|LABEL)="([^"\n]{0,64})"', re.MULTILINE)
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_PROTECTIVE_MBR = "ee"


class SwapArea(Frozen, frozen=True):
    """A swap area, of which Clonezilla saves only UUID and label."""

    partition: str
    uuid: str
    label: str


class ClonezillaDirectory(Frozen, frozen=True):
    """The disk in a Clonezilla directory.

    ``table`` is None if the whole disk is one file system. ``hidden``: file with the data before the first partition,
    empty if there is none. ``extended_code``: device and file of each extended partition's boot code.
    """

    disk: str
    size_bytes: int
    table: PartitionTable | None
    stored: tuple[StoredPartition, ...]
    swaps: tuple[SwapArea, ...] = ()
    boot_code: bytes = b""
    hidden: str = ""
    extended_code: tuple[tuple[str, str], ...] = ()

    def extent(self, partition: str) -> tuple[int, int]:
        """Offset and length of a partition in bytes."""
        if self.table is None:
            return 0, self.size_bytes
        found = next(one for one in self.table.partitions if one.device == partition)
        return found.start * SECTOR_BYTES, found.size * SECTOR_BYTES


def read_directory(folder: ReadableFolder) -> ClonezillaDirectory:
    """Read and check everything but the contents of the partitions. Raises ImageError with all problems."""
    names = _file_names(folder)
    disk = _disk_name(folder, names)
    _reject_unsupported(folder, names)
    table = _read_table(folder, disk, names)
    partitions = _device_names(folder, "parts") or _partitions_with_files(table, names)
    size = _disk_size(folder, disk, table)
    swaps = tuple(_read_swap(folder, name) for name in names if name.startswith("swappt-") and name.endswith(".info"))
    directory = ClonezillaDirectory(
        disk=disk,
        size_bytes=size,
        table=table,
        stored=stored_partitions(names, partitions),
        swaps=tuple(swap for swap in swaps if _is_partition_of(swap.partition, disk)),
        boot_code=(folder.read_small(f"{disk}-mbr") or b"")[:MBR_CODE_BYTES],
        hidden=f"{disk}-hidden-data-after-mbr" if f"{disk}-hidden-data-after-mbr" in names else "",
        extended_code=tuple((name.removesuffix("-ebr"), name) for name in names if name.endswith("-ebr")),
    )
    problems = list(_problems(directory, partitions))
    if problems:
        raise _rejected(problems)
    return directory


def _file_names(folder: ReadableFolder) -> tuple[str, ...]:
    names = folder.names()
    if not any(name in names for name in ("disk", "parts", "clonezilla-img")):
        raise _rejected(["it has none of the files disk, parts and clonezilla-img, so it is not a Clonezilla directory"])
    return names


def _text(folder: ReadableFolder, name: str) -> str:
    """Return the content of a small text file, empty if it does not exist."""
    return (folder.read_small(name) or b"").decode(errors="replace")


def _device_names(folder: ReadableFolder, name: str) -> tuple[str, ...]:
    text = _text(folder, name)
    devices = tuple(word.removeprefix("/dev/").replace("/", "-") for word in text.split())
    if not all(map(_NAME.fullmatch, devices)):
        raise _rejected([f"the file {name} contains invalid device names: {text.strip()[:80]!r}"])
    return devices


def _disk_name(folder: ReadableFolder, names: tuple[str, ...]) -> str:
    disks = _device_names(folder, "disk") or tuple(name.removesuffix("-pt.sf") for name in names if name.endswith("-pt.sf"))
    if len(disks) > 1:
        raise _rejected([f"it contains {len(disks)} disks ({', '.join(disks)}), but an image is one disk; save each separately"])
    partitions = _device_names(folder, "parts")
    if not disks and len(partitions) == 1:
        return partitions[0]  # a file system on a whole disk
    if not disks:
        raise missing_file_error("The file disk (or a partition table, *-pt.sf)")
    return disks[0]


def _reject_unsupported(folder: ReadableFolder, names: tuple[str, ...]) -> None:
    problems = []
    if (folder.read_small("lvm_vg_dev.list") or b"").strip():
        problems.append("it has logical volumes (LVM), which are not supported; save the disk again without LVM")
    if "ecryptfs.info" in names:
        problems.append("it is encrypted; save it again without encryption, or decrypt it with ocs-decrypt-img")
    if (folder.read_small("dmraid.table") or b"").partition(b"\n")[2].strip():
        problems.append("it is a RAID of several disks")
    if problems:
        raise _rejected(problems)


def _read_table(folder: ReadableFolder, disk: str, names: tuple[str, ...]) -> PartitionTable | None:
    if f"{disk}-pt.sf" not in names:
        if disk in _device_names(folder, "parts"):
            return None
        raise missing_file_error(f"The partition table {disk}-pt.sf")
    table = parse_sfdisk_dump(_text(folder, f"{disk}-pt.sf"), disk)
    sectors = folder.read_small(f"{disk}-gpt-1st")
    if sectors and table.label == "dos" and any(one.kind == _PROTECTIVE_MBR for one in table.partitions):
        return parse_gpt(sectors, disk)
    if not table.partitions:
        raise _rejected([f"its partition table {disk}-pt.sf is empty"])
    return table


def _partitions_with_files(table: PartitionTable | None, names: tuple[str, ...]) -> tuple[str, ...]:
    devices = tuple(one.device for one in table.partitions) if table else ()
    return tuple(device for device in devices if any(name.startswith(f"{device}.") for name in names))


def _disk_size(folder: ReadableFolder, disk: str, table: PartitionTable | None) -> int:
    """Return the size of the disk in bytes: from parted, else from its geometry, else the end of its last partition."""
    parted = _text(folder, f"{disk}-pt.parted")
    sector = _SECTORS.search(parted)
    if sector and int(sector[1]) != SECTOR_BYTES:
        raise _rejected([f"the disk has sectors of {sector[1]} bytes, but virtual disks have 512"])
    if match := _SIZE.search(parted):
        return int(match[1]) * SECTOR_BYTES
    last = max((one.end for one in table.partitions), default=0) if table else 0
    if table and table.label == "gpt":
        return (max(table.last_lba + 1, last) + GPT_SECTORS - 1) * SECTOR_BYTES
    geometry = {key: int(value) for key, value in _GEOMETRY.findall(_text(folder, f"{disk}-chs.sf"))}
    sectors = geometry.get("cylinders", 0) * geometry.get("heads", 0) * geometry.get("sectors", 0)
    return max(sectors, last) * SECTOR_BYTES


def _read_swap(folder: ReadableFolder, name: str) -> SwapArea:
    values = dict(_SWAP.findall(_text(folder, name)))
    device = name.removeprefix("swappt-").removesuffix(".info")
    return SwapArea(partition=device, uuid=values.get("UUID", "").lower(), label=values.get("LABEL", ""))


def _is_partition_of(partition: str, disk: str) -> bool:
    return re.fullmatch(rf"{re.escape(disk)}p?[0-9]*", partition) is not None


def _problems(directory: ClonezillaDirectory, names: tuple[str, ...]) -> Iterator[str]:
    """Yield the reasons why the disk, whose file ``parts`` has ``names``, cannot be restored."""
    table = directory.table
    partitions: dict[str, PartitionEntry] = {one.device: one for one in table.partitions} if table else {}
    if table is None and directory.size_bytes == 0:
        yield f"the size of the disk is unknown, because {directory.disk}-pt.parted is missing"
    last = max((one.end for one in partitions.values()), default=0) * SECTOR_BYTES
    if last > directory.size_bytes:
        yield f"its partitions end at {last} bytes, but the disk has only {directory.size_bytes}"
    if directory.size_bytes > MAX_VIRTUAL_BYTES:
        yield "the disk is larger than 2 TiB"
    stored = {one.partition for one in directory.stored}
    swaps = {swap.partition for swap in directory.swaps}
    for name in names:
        if table is not None and name not in partitions:
            yield f"the file parts names {name}, which is not in the partition table"
        elif name not in stored and name not in swaps:
            yield f"there is no file with the content of {name}"
    for swap in directory.swaps:
        if table is not None and swap.partition not in partitions:
            yield f"the swap area {swap.partition} is not in the partition table"
        if swap.uuid and not _UUID.fullmatch(swap.uuid):
            yield f"the UUID of the swap area {swap.partition} is invalid: {swap.uuid!r}"


def _rejected(reasons: list[str]) -> ImageError:
    return ImageError.of(Problem(summary="Clonezilla image rejected", detail=f"{capitalized(reason)}.") for reason in reasons)
