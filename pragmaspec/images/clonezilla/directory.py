"""What a Clonezilla directory says of the disk it was made from, read and checked before anything is restored.

Source: ``ocs-functions`` of Clonezilla 5.3.17. ``disk`` and ``parts`` name what was saved; ``<disk>-pt.sf`` is its partition
table, ``-pt.parted`` tells its size, ``-mbr`` and ``-hidden-data-after-mbr`` are its first sectors, ``swappt-*.info`` its swap.
"""

import re
from collections.abc import Iterator

from pragmaspec.errors import ImageError, Problem
from pragmaspec.frozen import Frozen
from pragmaspec.images.clonezilla.directory_names import StoredPartition, stored_partitions
from pragmaspec.images.clonezilla.partition_table import (
    GPT_SECTORS,
    SECTOR,
    Partition,
    PartitionTable,
    parse_gpt,
    parse_sfdisk_dump,
)
from pragmaspec.images.formats.inspect import MAX_VIRTUAL_BYTES
from pragmaspec.images.transfer.cached_folder import ReadableFolder, missing_file_error

MBR_CODE_BYTES = 446
"""Up to here the first sector is code and the disk's identity; behind it is the partition table."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*")
_SIZE = re.compile(r"^Disk /dev/[^:]+: *([0-9]+)s\s*$", re.MULTILINE)
_SECTORS = re.compile(r"^Sector size \(logical/physical\): *([0-9]+)B", re.MULTILINE)
_GEOMETRY = re.compile(r"\b(cylinders|heads|sectors)=([0-9]+)")
_SWAP = re.compile(r'^(UUID|LABEL)="([^"\n]{0,64})"', re.MULTILINE)
_PROTECTIVE = "ee"


class SwapArea(Frozen, frozen=True):
    """A swap area, of which only the identity was kept."""

    partition: str
    uuid: str
    label: str


class ClonezillaDirectory(Frozen, frozen=True):
    """A disk as a Clonezilla directory holds it.

    ``table`` is None when the disk has none and holds one file system from its first byte. ``hidden`` is the file with what
    stands between boot sector and first partition, empty when there is none. ``extended_code``: device and file of each extended
    partition's own boot code.
    """

    disk: str
    size_bytes: int
    table: PartitionTable | None
    stored: tuple[StoredPartition, ...]
    swaps: tuple[SwapArea, ...] = ()
    boot_code: bytes = b""
    hidden: str = ""
    extended_code: tuple[tuple[str, str], ...] = ()

    def place(self, partition: str) -> tuple[int, int]:
        """Where a partition begins and how long it is, in bytes."""
        if self.table is None:
            return 0, self.size_bytes
        found = next(one for one in self.table.partitions if one.device == partition)
        return found.start * SECTOR, found.size * SECTOR


def read_directory(near: ReadableFolder) -> ClonezillaDirectory:
    """Read and check everything but the contents of the partitions. Raises ImageError with every reason against it."""
    names = _names(near)
    disk = _disk(near, names)
    _refuse_foreign(near, names)
    table = _table(near, disk, names)
    parts = _words(near, "parts") or _partitions_with_files(table, names)
    size = _size(near, disk, table)
    swaps = tuple(_swap(near, name) for name in names if name.startswith("swappt-") and name.endswith(".info"))
    boot_code = (near.read_small(f"{disk}-mbr") or b"")[:MBR_CODE_BYTES]
    found = ClonezillaDirectory(
        disk=disk,
        size_bytes=size,
        table=table,
        stored=stored_partitions(names, parts),
        swaps=tuple(swap for swap in swaps if _of_disk(swap.partition, disk)),
        boot_code=boot_code,
        hidden=f"{disk}-hidden-data-after-mbr" if f"{disk}-hidden-data-after-mbr" in names else "",
        extended_code=tuple((name.removesuffix("-ebr"), name) for name in names if name.endswith("-ebr")),
    )
    reasons = list(_against(found, parts))
    if reasons:
        raise _refused(reasons)
    return found


def _names(near: ReadableFolder) -> tuple[str, ...]:
    names = near.names()
    if not any(name in names for name in ("disk", "parts", "clonezilla-img")):
        raise _refused(["it has none of the files disk, parts and clonezilla-img, so it is not a directory Clonezilla made"])
    return names


def _words(near: ReadableFolder, name: str) -> tuple[str, ...]:
    text = (near.read_small(name) or b"").decode(errors="replace")
    words = tuple(word.removeprefix("/dev/").replace("/", "-") for word in text.split())
    if not all(map(_NAME.fullmatch, words)):
        raise _refused([f"the file {name} has words in it that are no names of devices: {text.strip()[:80]!r}"])
    return words


def _disk(near: ReadableFolder, names: tuple[str, ...]) -> str:
    disks = _words(near, "disk") or tuple(name.removesuffix("-pt.sf") for name in names if name.endswith("-pt.sf"))
    if len(disks) > 1:
        raise _refused([f"it holds {len(disks)} disks ({', '.join(disks)}), and an image is one; save each on its own"])
    parts = _words(near, "parts")
    if not disks and len(parts) == 1:
        return parts[0]  # a file system on a whole disk
    if not disks:
        raise missing_file_error("The file disk, and a partition table (*-pt.sf),")
    return disks[0]


def _refuse_foreign(near: ReadableFolder, names: tuple[str, ...]) -> None:
    reasons = []
    if (near.read_small("lvm_vg_dev.list") or b"").strip():
        reasons.append("it has logical volumes (LVM), which are not restored; save the disk again without LVM")
    if "ecryptfs.info" in names:
        reasons.append("it is encrypted; save it again without encryption, or take that off with ocs-decrypt-img")
    if (near.read_small("dmraid.table") or b"").partition(b"\n")[2].strip():
        reasons.append("it is of a RAID of several disks")
    if reasons:
        raise _refused(reasons)


def _table(near: ReadableFolder, disk: str, names: tuple[str, ...]) -> PartitionTable | None:
    if f"{disk}-pt.sf" not in names:
        if disk in _words(near, "parts"):
            return None
        raise missing_file_error(f"The partition table {disk}-pt.sf")
    table = parse_sfdisk_dump((near.read_small(f"{disk}-pt.sf") or b"").decode(errors="replace"), disk)
    sectors = near.read_small(f"{disk}-gpt-1st")
    if sectors and table.label == "dos" and any(one.kind == _PROTECTIVE for one in table.partitions):
        return parse_gpt(sectors, disk)
    if not table.partitions:
        raise _refused([f"its partition table {disk}-pt.sf is empty"])
    return table


def _partitions_with_files(table: PartitionTable | None, names: tuple[str, ...]) -> tuple[str, ...]:
    devices = tuple(one.device for one in table.partitions) if table else ()
    return tuple(device for device in devices if any(name.startswith(f"{device}.") for name in names))


def _size(near: ReadableFolder, disk: str, table: PartitionTable | None) -> int:
    """The disk's length in bytes: as parted told it, else by its geometry, else what its partitions need."""
    told = (near.read_small(f"{disk}-pt.parted") or b"").decode(errors="replace")
    sector = _SECTORS.search(told)
    if sector and int(sector[1]) != SECTOR:
        raise _refused([f"the disk has sectors of {sector[1]} bytes, and a virtual disk has 512"])
    if match := _SIZE.search(told):
        return int(match[1]) * SECTOR
    needed = max((one.end for one in table.partitions), default=0) if table else 0
    if table and table.label == "gpt":
        return (max(table.last_lba + 1, needed) + GPT_SECTORS - 1) * SECTOR
    geometry = {
        key: int(value) for key, value in _GEOMETRY.findall((near.read_small(f"{disk}-chs.sf") or b"").decode(errors="replace"))
    }
    sectors = geometry.get("cylinders", 0) * geometry.get("heads", 0) * geometry.get("sectors", 0)
    return max(sectors, needed) * SECTOR


def _swap(near: ReadableFolder, name: str) -> SwapArea:
    values = dict(_SWAP.findall((near.read_small(name) or b"").decode(errors="replace")))
    device = name.removeprefix("swappt-").removesuffix(".info")
    return SwapArea(partition=device, uuid=values.get("UUID", "").lower(), label=values.get("LABEL", ""))


def _of_disk(partition: str, disk: str) -> bool:
    return re.fullmatch(rf"{re.escape(disk)}p?[0-9]*", partition) is not None


def _against(found: ClonezillaDirectory, parts: tuple[str, ...]) -> Iterator[str]:
    partitions: dict[str, Partition] = {one.device: one for one in found.table.partitions} if found.table else {}
    if found.table is None and found.size_bytes == 0:
        yield f"nothing tells how large the disk was; {found.disk}-pt.parted is missing"
    last = max((one.end for one in partitions.values()), default=0) * SECTOR
    if last > found.size_bytes:
        yield f"its partitions end at {last} bytes, and the disk has {found.size_bytes}"
    if found.size_bytes > MAX_VIRTUAL_BYTES:
        yield "it is of a disk larger than 2 TiB"
    held = {one.partition for one in found.stored}
    for part in parts:
        if found.table is not None and part not in partitions:
            yield f"the file parts names {part}, which is not in the partition table"
        elif part not in held and part not in {swap.partition for swap in found.swaps}:
            yield f"there is no file with the content of {part}"
    for swap in found.swaps:
        if found.table is not None and swap.partition not in partitions:
            yield f"the swap area {swap.partition} is not in the partition table"
        if swap.uuid and not re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", swap.uuid):
            yield f"the identity of the swap area {swap.partition} cannot be one: {swap.uuid!r}"


def _refused(reasons: list[str]) -> ImageError:
    return ImageError.of(
        Problem(summary="Clonezilla image refused", detail=f"{reason[0].upper()}{reason[1:]}.") for reason in reasons
    )
