"""Check a raw disk: its size in whole sectors, and the partition table in its boot sector.

A raw disk has no header, so any file could be declared as one. The rules follow OpenStack's image inspector (oslo.utils), but
accept what honest tools write: the geometry that parted writes into a protective MBR differs from the UEFI specification (2.10,
section 5.2.3).
"""

import struct
from collections.abc import Iterator

SECTOR = 512
MIN_RAW_BYTES = 2**20
_TABLE_AT, _ENTRY_BYTES, _ENTRIES = 446, 16, 4
_SIGNATURE_AT, _SIGNATURE = 510, b"\x55\xaa"
_PROTECTIVE = 0xEE
_STARTS = {b"\x00\x02\x00", b"\x00\x01\x00", b"\xff\xff\xff", b"\xfe\xff\xff"}
"""Geometries of the first sector of a protective partition: UEFI's, parted's, and the two that mean "unknown"."""


def raw_problems(head: bytes, size: int, max_virtual: int, *, partitionless: bool) -> Iterator[str]:
    """Yield every reason against a raw disk of ``size`` bytes that begins with ``head``; ``partitionless``: it has a kernel."""
    if size < MIN_RAW_BYTES or size % SECTOR:
        yield f"a raw disk has at least 1 MiB and whole sectors of 512 bytes; this file has {size} bytes"
    if size > max_virtual:
        yield "it is larger than 2 TiB"
    if head[_SIGNATURE_AT : _SIGNATURE_AT + 2] == _SIGNATURE:
        if not partitionless:
            yield from _table_problems(head[:SECTOR])
    elif not partitionless:
        yield "it has no partition table, so it cannot boot; give it a `kernel`, or use another image"


def _table_problems(sector: bytes) -> Iterator[str]:
    """Yield problems of the partition table. The boot sector of a file system has code or text in its place."""
    entries = [sector[at : at + _ENTRY_BYTES] for at in range(_TABLE_AT, _TABLE_AT + _ENTRIES * _ENTRY_BYTES, _ENTRY_BYTES)]
    used = [entry for entry in entries if entry[4]]
    if any(entry[0] not in {0, 0x80} for entry in entries):
        yield "its partition table is invalid (a boot flag is neither 00 nor 80)"
        return
    protective = [entry for entry in used if entry[4] == _PROTECTIVE]
    if not protective:
        return
    if len(used) > 1:
        yield "it has two partition tables (a hybrid of MBR and GPT); remove one (gdisk: x, n)"
    elif struct.unpack_from("<I", protective[0], 8)[0] != 1 or protective[0][1:4] not in _STARTS:
        yield "the protective partition of its GPT does not begin at the second sector"
