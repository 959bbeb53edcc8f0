"""Check a VDI disk of VirtualBox. Source: QEMU's ``block/vdi.c``."""

import struct
from collections.abc import Iterator

from pragmaspec.images.formats.random_access import RandomAccess

_FIELDS = struct.Struct("<IIIII256sIIIIIIIQIIII16s16s16s16s")
"""From offset 64: signature, version, header size, type, flags, comment, offsets of map and data, geometry, sizes, UUIDs."""
_FIELDS_AT = 64
_VERSION = 0x00010001
_DYNAMIC, _FIXED = 1, 2
_BLOCK_BYTES = 2**20
_SECTOR = 512
_NO_UUID = bytes(16)


def vdi_size(disk: RandomAccess) -> int:
    """Return the size of the disk as seen by a guest, in bytes; 0 if the header is truncated."""
    start = disk.read_at(_FIELDS_AT, _FIELDS.size)
    return int(_FIELDS.unpack(start)[13]) if len(start) == _FIELDS.size else 0


def vdi_problems(disk: RandomAccess, max_virtual: int) -> Iterator[str]:
    """Yield every reason against a VDI disk."""
    start = disk.read_at(_FIELDS_AT, _FIELDS.size)
    if len(start) < _FIELDS.size:
        yield "its VDI header is truncated"
        return
    (
        _,
        version,
        _,
        kind,
        _,
        _,
        map_at,
        data_at,
        _,
        _,
        _,
        sector,
        _,
        size,
        block,
        extra,
        blocks,
        allocated,
        _,
        _,
        link,
        parent,
    ) = _FIELDS.unpack(start)
    if version != _VERSION:
        yield f"VDI version {version >> 16}.{version & 0xFFFF} is unknown"
    if kind not in {_DYNAMIC, _FIXED} or link != _NO_UUID or parent != _NO_UUID:
        yield "it has a parent, so it is only a difference to another image; clone the disk in VirtualBox"
    if not 0 < size <= max_virtual or size % _SECTOR:
        yield f"its virtual size of {size} bytes is not between 512 bytes and 2 TiB in whole sectors"
    if (sector, block, extra) != (_SECTOR, _BLOCK_BYTES, 0):
        yield "its block size is not 1 MiB"
        return
    if blocks != -(-size // block) or allocated > blocks:
        yield f"it has {blocks} blocks, {allocated} of them used, which does not fit its virtual size"
    if map_at < _SECTOR or map_at % _SECTOR or data_at % _SECTOR or map_at + 4 * blocks > data_at:
        yield "its block map is not in front of its data"
    if data_at + allocated * block > disk.size:
        yield "it is truncated: its data ends beyond the end of the file"
