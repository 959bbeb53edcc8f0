"""Check a fixed or dynamic VHD disk (Virtual PC, Azure).

Source: Microsoft, "Virtual Hard Disk Image Format Specification" 1.0. The virtual size is the footer's current size, not that of
the geometry, which is rounded.
"""

import struct
from collections.abc import Iterator

from pragmaspec.images.formats.random_access import RandomAccess

_SECTOR = 512
_FOOTER = struct.Struct(">8sIIQI4sI4sQQIII16sB")
_DYNAMIC_HEADER = struct.Struct(">8sQQIIII16s")
_DYNAMIC_BYTES = 1024
_FOOTER_SUM_AT, _DYNAMIC_SUM_AT = 64, 36
_FIXED, _DYNAMIC, _DIFFERENCE = 2, 3, 4
_MAX_BLOCK = 2**28
_NO_UUID = bytes(16)


def vhd_size(disk: RandomAccess) -> int:
    """Return the size of the disk as seen by a guest, in bytes; 0 if the footer is truncated."""
    footer = disk.read_at(max(0, disk.size - _SECTOR), _SECTOR)
    return int(_FOOTER.unpack_from(footer)[9]) if len(footer) == _SECTOR else 0


def vhd_problems(disk: RandomAccess, max_virtual: int) -> Iterator[str]:
    """Yield every reason against a VHD disk."""
    footer = disk.read_at(max(0, disk.size - _SECTOR), _SECTOR)
    if len(footer) < _SECTOR or not footer.startswith(b"conectix"):
        yield "it is truncated: its footer is missing"
        return
    (_, _, _, data_at, _, _, _, _, _, size, _, kind, wanted_sum, _, saved) = _FOOTER.unpack_from(footer)
    if _sum(footer, _FOOTER_SUM_AT) != wanted_sum:
        yield "its footer has a wrong checksum"
    if saved:
        yield "its machine was saved while it was running; shut it down and export it again"
    if not 0 < size <= max_virtual or size % _SECTOR:
        yield f"its virtual size of {size} bytes is not between 512 bytes and 2 TiB in whole sectors"
    if kind == _FIXED:
        if disk.size != size + _SECTOR:
            yield f"it declares {size} bytes and contains {disk.size - _SECTOR}"
    elif kind == _DYNAMIC:
        yield from _dynamic_problems(disk, footer, data_at, size)
    elif kind == _DIFFERENCE:
        yield "it has a parent, so it is only a difference to another image; merge them first"
    else:
        yield f"VHD type {kind} is unknown"


def _dynamic_problems(disk: RandomAccess, footer: bytes, header_at: int, size: int) -> Iterator[str]:
    if disk.read_at(0, _SECTOR) != footer:
        yield "its first and last sectors differ"
    header = disk.read_at(header_at, _DYNAMIC_BYTES) if header_at >= _SECTOR else b""
    if len(header) < _DYNAMIC_BYTES or not header.startswith(b"cxsparse"):
        yield "its dynamic header is not inside the file"
        return
    (_, _, table_at, _, entries, block, wanted_sum, parent) = _DYNAMIC_HEADER.unpack_from(header)
    if _sum(header, _DYNAMIC_SUM_AT) != wanted_sum:
        yield "its dynamic header has a wrong checksum"
    if parent != _NO_UUID:
        yield "it names a parent, although it is not a differencing disk"
    if not _SECTOR <= block <= _MAX_BLOCK or block & (block - 1):
        yield f"blocks of {block} bytes are outside the format"
    elif entries * block < size or entries > 2 * -(-size // block) + 2:
        yield f"it has {entries} blocks of {block} bytes, which does not fit its virtual size"
    if table_at < _SECTOR or table_at % _SECTOR or table_at + 4 * entries > disk.size:
        yield "its block table is not inside the file"


def _sum(content: bytes, at: int) -> int:
    """Return the ones' complement of the sum of all bytes except the checksum."""
    return ~(sum(content) - sum(content[at : at + 4])) & 0xFFFFFFFF
