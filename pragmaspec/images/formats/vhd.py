"""VHD disks (Virtual PC, Azure), fixed and dynamic, and everything that speaks against one.

Source: Microsoft, "Virtual Hard Disk Image Format Specification" 1.0. The size is the footer's current size and never the
geometry's, which rounds.
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
_MOST_BLOCK = 2**28
_NO_UUID = bytes(16)


def vhd_size(window: RandomAccess) -> int:
    """The size of the disk that a guest sees, in bytes; 0 when the footer is cut off."""
    footer = window.at(max(0, window.size - _SECTOR), _SECTOR)
    return int(_FOOTER.unpack_from(footer)[9]) if len(footer) == _SECTOR else 0


def vhd_problems(window: RandomAccess, most_virtual: int) -> Iterator[str]:
    """Every reason against a VHD disk."""
    footer = window.at(max(0, window.size - _SECTOR), _SECTOR)
    if len(footer) < _SECTOR or not footer.startswith(b"conectix"):
        yield "its end is missing: the download or the copy broke off"
        return
    (_, _, _, data_at, _, _, _, _, _, size, _, kind, wanted_sum, _, saved) = _FOOTER.unpack_from(footer)
    if _sum(footer, _FOOTER_SUM_AT) != wanted_sum:
        yield "the checksum of its footer is wrong"
    if saved:
        yield "it belongs to a machine that was saved while it ran; shut it down and export it again"
    if not 0 < size <= most_virtual or size % _SECTOR:
        yield f"its virtual size of {size} bytes is not one of 512 bytes to 2 TiB in whole sectors"
    if kind == _FIXED:
        if window.size != size + _SECTOR:
            yield f"it says to hold {size} bytes, and holds {window.size - _SECTOR}"
    elif kind == _DYNAMIC:
        yield from _against_dynamic(window, footer, data_at, size)
    elif kind == _DIFFERENCE:
        yield "it has a parent: it is only the difference to another image; merge them first"
    else:
        yield f"VHD disks of type {kind} are not known"


def _against_dynamic(window: RandomAccess, footer: bytes, header_at: int, size: int) -> Iterator[str]:
    if window.at(0, _SECTOR) != footer:
        yield "its first and its last sector are not the same, as they have to be"
    header = window.at(header_at, _DYNAMIC_BYTES) if header_at >= _SECTOR else b""
    if len(header) < _DYNAMIC_BYTES or not header.startswith(b"cxsparse"):
        yield "its second header does not lie inside the file"
        return
    (_, _, table_at, _, entries, block, wanted_sum, parent) = _DYNAMIC_HEADER.unpack_from(header)
    if _sum(header, _DYNAMIC_SUM_AT) != wanted_sum:
        yield "the checksum of its second header is wrong"
    if parent != _NO_UUID:
        yield "it names a parent, though it is not a difference"
    if not _SECTOR <= block <= _MOST_BLOCK or block & (block - 1):
        yield f"blocks of {block} bytes are outside the format"
    elif entries * block < size or entries > 2 * -(-size // block) + 2:
        yield f"it has {entries} blocks of {block} bytes, which does not fit its size"
    if table_at < _SECTOR or table_at % _SECTOR or table_at + 4 * entries > window.size:
        yield "its table of blocks does not lie inside the file"


def _sum(content: bytes, at: int) -> int:
    """The ones' complement of the sum of all bytes but the checksum's own."""
    return ~(sum(content) - sum(content[at : at + 4])) & 0xFFFFFFFF
