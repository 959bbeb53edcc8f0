"""Check a VHDX disk of Hyper-V. Source: Microsoft, "[MS-VHDX]"."""

import functools
import struct
from collections.abc import Iterator
from typing import NamedTuple
from uuid import UUID

from pragmaspec.images.formats.random_access import RandomAccess

_HEADERS_AT, _HEADER_BYTES = (0x10000, 0x20000), 4096
_REGIONS_AT, _REGIONS_BYTES, _MAX_REGIONS = (0x30000, 0x40000), 0x10000, 16
_BAT = UUID("2dc27766-f623-4200-9d64-115e9bfd4a08").bytes_le
_METADATA = UUID("8b7ca206-4790-4b9a-b8fe-575f050f886e").bytes_le
_FILE_PARAMETERS = UUID("caa16737-fa36-4d43-b3b6-33f0aa44e76b").bytes_le
_DISK_SIZE = UUID("2fa54224-cd1b-4876-b211-5dbed83bf4b8").bytes_le
_SECTOR_SIZE = UUID("8141bf1d-a96f-4709-ba47-f233a8faab5f").bytes_le
_PHYSICAL_SECTOR = UUID("cda348c7-445d-4471-9cc9-e9885251c556").bytes_le
_DISK_ID = UUID("beca12ab-b2e6-4523-93ef-c309e000c746").bytes_le
_PARENT = UUID("a8d35f2d-b30b-454d-abf7-d3d84834ab0c").bytes_le
_KNOWN_ITEMS = {_FILE_PARAMETERS, _DISK_SIZE, _SECTOR_SIZE, _PHYSICAL_SECTOR, _DISK_ID, _PARENT}
_HAS_PARENT = 1 << 1
_MIB = 2**20
_MAX_BLOCK = 256 * _MIB
_MAX_ITEMS = 64


class _Region(NamedTuple):
    offset: int
    length: int


def vhdx_size(disk: RandomAccess) -> int:
    """Return the size of the disk as seen by a guest, in bytes; 0 if it cannot be found."""
    value = _items(disk, _regions(disk)).get(_DISK_SIZE, b"")
    return int(struct.unpack_from("<Q", value)[0]) if len(value) >= 8 else 0  # noqa: PLR2004 - a 64-bit number


def vhdx_problems(disk: RandomAccess, max_virtual: int) -> Iterator[str]:
    """Yield every reason against a VHDX disk."""
    header = _header(disk)
    if header is None:
        yield "both of its headers are damaged"
        return
    if header[48:64] != bytes(16):
        yield "its log has changes that are not yet in the disk; start and shut down its machine"
    regions = _regions(disk)
    if _METADATA not in regions or _BAT not in regions:
        yield "its region table lacks a required region"
        return
    if len(regions) > 2:  # noqa: PLR2004 - those two
        yield "it has an unknown region"
    if any(region.offset < _MIB or region.offset + region.length > disk.size for region in regions.values()):
        yield "its regions are not inside the file"
        return
    yield from _metadata_problems(_items(disk, regions), regions[_BAT], max_virtual)


def _metadata_problems(items: dict[bytes, bytes], table: _Region, max_virtual: int) -> Iterator[str]:
    if items.keys() - _KNOWN_ITEMS:
        yield "its metadata has an unknown item"
    parameters = items.get(_FILE_PARAMETERS, b"").ljust(8, b"\0")
    block, flags = struct.unpack_from("<II", parameters)
    if flags & _HAS_PARENT or _PARENT in items:
        yield "it has a parent, so it is only a difference to another image; merge them first"
    (size,) = struct.unpack_from("<Q", items.get(_DISK_SIZE, b"").ljust(8, b"\0"))
    (sector,) = struct.unpack_from("<I", items.get(_SECTOR_SIZE, b"").ljust(4, b"\0"))
    if sector not in {512, 4096}:
        yield f"sectors of {sector} bytes are outside the format"
    elif not 0 < size <= max_virtual or size % sector:
        yield f"its virtual size of {size} bytes is not between 512 bytes and 2 TiB in whole sectors"
    if not _MIB <= block <= _MAX_BLOCK or block & (block - 1):
        yield f"blocks of {block} bytes are outside the format"
    elif sector in {512, 4096}:
        blocks, ratio = -(-size // block), 2**23 * sector // block
        if (blocks + (blocks - 1) // ratio) * 8 > table.length:
            yield "its block table is too short for its virtual size"


def _header(disk: RandomAccess) -> bytes | None:
    """Return the current header: the newer of those with a correct checksum."""
    found = [
        header
        for header in (disk.read_at(offset, _HEADER_BYTES) for offset in _HEADERS_AT)
        if len(header) == _HEADER_BYTES and header.startswith(b"head") and _checksum_matches(header)
    ]
    return max(found, key=lambda header: int(struct.unpack_from("<Q", header, 8)[0]), default=None)


def _regions(disk: RandomAccess) -> dict[bytes, _Region]:
    for offset in _REGIONS_AT:
        table = disk.read_at(offset, _REGIONS_BYTES)
        if len(table) == _REGIONS_BYTES and table.startswith(b"regi") and _checksum_matches(table):
            count = min(struct.unpack_from("<I", table, 8)[0], _MAX_REGIONS)
            entries = (struct.unpack_from("<16sQI", table, 16 + 32 * index) for index in range(count))
            return {identity: _Region(place, length) for identity, place, length in entries}
    return {}


def _items(disk: RandomAccess, regions: dict[bytes, _Region]) -> dict[bytes, bytes]:
    """Return the metadata items by identity, the first 16 bytes of each."""
    region = regions.get(_METADATA)
    head = disk.read_at(region.offset, _REGIONS_BYTES) if region else b""
    if region is None or len(head) < _REGIONS_BYTES or not head.startswith(b"metadata"):
        return {}
    count = min(struct.unpack_from("<H", head, 10)[0], _MAX_ITEMS)
    found = {}
    for index in range(count):
        identity, offset, length = struct.unpack_from("<16sII", head, 32 + 32 * index)
        found[identity] = disk.read_at(region.offset + offset, min(length, 16)) if offset + length <= region.length else b""
    return found


def _checksum_matches(block: bytes) -> bool:
    return _crc32c(block[:4] + bytes(4) + block[8:]) == int.from_bytes(block[4:8], "little")


def _table() -> tuple[int, ...]:
    found = []
    for byte in range(256):
        rest = byte
        for _ in range(8):
            rest = rest >> 1 ^ (0x82F63B78 if rest & 1 else 0)
        found.append(rest)
    return tuple(found)


_CRC_TABLE = _table()


@functools.lru_cache(maxsize=4)
def _crc32c(content: bytes) -> int:
    """CRC-32C (Castagnoli), RFC 3720 appendix B.4."""
    rest = 0xFFFFFFFF
    for byte in content:
        rest = rest >> 8 ^ _CRC_TABLE[(rest ^ byte) & 0xFF]
    return rest ^ 0xFFFFFFFF
