"""Raw disks: a size in whole sectors and a boot sector whose partition table makes sense.

A raw disk has no header, so anything could be called one. Rules after OpenStack's image inspector (oslo.utils), milder where
honest tools differ: parted writes another geometry into a protective MBR than the UEFI specification (2.10, section 5.2.3) asks.
"""

import struct
from collections.abc import Iterator

SECTOR = 512
MIN_RAW_BYTES = 2**20
_TABLE_AT, _ENTRY_BYTES, _ENTRIES = 446, 16, 4
_SIGNATURE_AT, _SIGNATURE = 510, b"\x55\xaa"
_PROTECTIVE = 0xEE
_STARTS = {b"\x00\x02\x00", b"\x00\x01\x00", b"\xff\xff\xff", b"\xfe\xff\xff"}
"""Geometries of a protective partition's first sector: UEFI's, parted's, and the two for "cannot be told"."""


def raw_problems(head: bytes, size: int, most_virtual: int, *, partitionless: bool) -> Iterator[str]:
    """Every reason against a raw disk of ``size`` bytes that begins with ``head``; ``partitionless``: it need not start alone."""
    if size < MIN_RAW_BYTES or size % SECTOR:
        yield f"a raw disk has at least 1 MiB and whole sectors of 512 bytes; this file has {size} bytes"
    if size > most_virtual:
        yield "it is larger than 2 TiB"
    if head[_SIGNATURE_AT : _SIGNATURE_AT + 2] == _SIGNATURE:
        if not partitionless:
            yield from _against_table(head[:SECTOR])
    elif not partitionless:
        yield "it has no partition table, so nothing can start from it; give it a `kernel`, or use another image"


def _against_table(sector: bytes) -> Iterator[str]:
    """A file system's own boot sector ends like an MBR, and has code or text where the partitions would stand."""
    entries = [sector[at : at + _ENTRY_BYTES] for at in range(_TABLE_AT, _TABLE_AT + _ENTRIES * _ENTRY_BYTES, _ENTRY_BYTES)]
    used = [entry for entry in entries if entry[4]]
    if any(entry[0] not in {0, 0x80} for entry in entries):
        yield "its partition table makes no sense (a boot flag is neither 00 nor 80)"
        return
    protective = [entry for entry in used if entry[4] == _PROTECTIVE]
    if not protective:
        return
    if len(used) > 1:
        yield "it has two partition tables that are both in force (a hybrid of MBR and GPT); remove one (gdisk: x, n)"
    elif struct.unpack_from("<I", protective[0], 8)[0] != 1 or protective[0][1:4] not in _STARTS:
        yield "the protective partition of its GPT does not begin at the second sector"
