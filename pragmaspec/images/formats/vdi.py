"""VDI disks of VirtualBox, and everything that speaks against one. Source: QEMU's ``block/vdi.c``."""

import struct
from collections.abc import Iterator

from pragmaspec.images.formats.random_access import RandomAccess

_FIELDS = struct.Struct("<IIIII256sIIIIIIIQIIII16s16s16s16s")
"""From offset 64: signature, version, header size, type, flags, comment, places of map and data, geometry, sizes, UUIDs."""
_FIELDS_AT = 64
_VERSION = 0x00010001
_DYNAMIC, _FIXED = 1, 2
_BLOCK_BYTES = 2**20
_SECTOR = 512
_NO_UUID = bytes(16)


def vdi_size(window: RandomAccess) -> int:
    """The size of the disk that a guest sees, in bytes; 0 when the header is cut off."""
    start = window.at(_FIELDS_AT, _FIELDS.size)
    return int(_FIELDS.unpack(start)[13]) if len(start) == _FIELDS.size else 0


def vdi_problems(window: RandomAccess, most_virtual: int) -> Iterator[str]:
    """Every reason against a VDI disk."""
    start = window.at(_FIELDS_AT, _FIELDS.size)
    if len(start) < _FIELDS.size:
        yield "its VDI header is cut off"
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
        yield f"VDI version {version >> 16}.{version & 0xFFFF} is not known"
    if kind not in {_DYNAMIC, _FIXED} or link != _NO_UUID or parent != _NO_UUID:
        yield "it has a parent: it is only the difference to another image; clone the disk in VirtualBox"
    if not 0 < size <= most_virtual or size % _SECTOR:
        yield f"its virtual size of {size} bytes is not one of 512 bytes to 2 TiB in whole sectors"
    if (sector, block, extra) != (_SECTOR, _BLOCK_BYTES, 0):
        yield "its blocks are not of 1 MiB"
        return
    if blocks != -(-size // block) or allocated > blocks:
        yield f"it has {blocks} blocks, {allocated} of them used, which does not fit its size"
    if map_at < _SECTOR or map_at % _SECTOR or data_at % _SECTOR or map_at + 4 * blocks > data_at:
        yield "its map of blocks does not lie before its data"
    if data_at + allocated * block > window.size:
        yield "its data does not end inside the file: the download or the copy broke off"
