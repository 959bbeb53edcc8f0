"""The first sectors of a disk with a GUID partition table, as old Clonezilla directories keep them (``vda-gpt-1st``).

Their ``vda-pt.sf`` was written by an sfdisk that knew no GPT, so it shows only the protective MBR. Source of the layout: UEFI
specification 2.10, section 5.3.
"""

import struct
import zlib
from uuid import UUID

from pragmaspec.errors import ImageError, Problem
from pragmaspec.images.clonezilla.table import SECTOR, Partition, Table

_ENTRY_BYTES = 128
_MOST_ENTRIES = 128
_NAMED_ATTRIBUTES = {0: "RequiredPartition", 1: "NoBlockIOProtocol", 2: "LegacyBIOSBootable"}


def read_gpt(sectors: bytes, disk: str) -> Table:
    """The table in the first 34 ``sectors`` of ``disk``. Raises ImageError when a check sum is wrong or it is not a GPT."""
    header = sectors[SECTOR : 2 * SECTOR]
    if header[:8] != b"EFI PART" or len(sectors) < 3 * SECTOR:
        raise _damaged(disk, "it does not begin with a GUID partition table")
    length, checksum = struct.unpack_from("<II", header, 12)
    _, _, first, last = struct.unpack_from("<QQQQ", header, 24)
    identity = header[56:72]
    at, count, entry_bytes, entries_checksum = struct.unpack_from("<QIII", header, 72)
    if not 92 <= length <= SECTOR or zlib.crc32(header[:16] + bytes(4) + header[20:length]) != checksum:  # noqa: PLR2004 - UEFI
        raise _damaged(disk, "the check sum of its header is wrong")
    if (at, entry_bytes) != (2, _ENTRY_BYTES) or not 0 < count <= _MOST_ENTRIES:
        raise _damaged(disk, f"a table of {count} entries of {entry_bytes} bytes in sector {at} is unusual")
    entries = sectors[2 * SECTOR : 2 * SECTOR + count * _ENTRY_BYTES]
    if zlib.crc32(entries) != entries_checksum:
        raise _damaged(disk, "the check sum of its entries is wrong")
    found = [_partition(entries[number * _ENTRY_BYTES :][:_ENTRY_BYTES], number + 1, disk) for number in range(count)]
    return Table(
        label="gpt",
        label_id=_guid(identity),
        partitions=tuple(one for one in found if one is not None),
        first_lba=first,
        last_lba=last,
    )


def _partition(entry: bytes, number: int, disk: str) -> Partition | None:
    if not any(entry[:16]):
        return None
    first, last, attributes = struct.unpack_from("<QQQ", entry, 32)
    name = entry[56:128].decode("utf-16-le", errors="replace").partition("\0")[0]
    escaped = "".join(letter if letter.isprintable() and letter not in '"\\' else "_" for letter in name)
    flags = [_NAMED_ATTRIBUTES.get(bit, f"GUID:{bit}") for bit in range(64) if attributes >> bit & 1]
    between = "p" if disk[-1:].isdigit() else ""
    return Partition(
        device=f"{disk}{between}{number}",
        number=number,
        start=first,
        size=max(0, last - first + 1),
        kind=_guid(entry[:16]),
        uuid=_guid(entry[16:32]),
        name=f'"{escaped}"' if escaped else "",
        attrs=f'"{" ".join(flags)}"' if flags else "",
    )


def _guid(raw: bytes) -> str:
    return str(UUID(bytes_le=raw)).upper()


def _damaged(disk: str, why: str) -> ImageError:
    return ImageError(Problem(summary="Partition table not understood", detail=f"In {disk}-gpt-1st: {why}."))
