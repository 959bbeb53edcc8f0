"""Read partition tables as firmware does: GPT (sectors of 512 and 4096 bytes), MBR with logical partitions, or none.

Sources: UEFI specification 2.10, sections 5.2 and 5.3. Checksums are not verified: tables that firmware rejects are rare.
"""

import struct
from collections.abc import Iterator
from uuid import UUID

from pragmaspec.frozen import Frozen
from pragmaspec.images.formats.random_access import RandomAccess

SECTOR = 512
CODE_BYTES = 440
"""Size of the boot code in the first sector, which precedes the disk signature."""
EFI_SYSTEM = ("ef", "c12a7328-f81f-11d2-ba4b-00a0c93ec93b")
_SIGNATURE_AT, _SIGNATURE = 510, b"\x55\xaa"
_TABLE_AT, _ENTRY_BYTES = 446, 16
_GPT_MAGIC = b"EFI PART"
_GPT_SECTORS = (512, 4096)
_LEGACY_BOOTABLE = 1 << 2
_PROTECTIVE, _EXTENDED = "ee", {"05", "0f", "85"}
_ACTIVE = 0x80
_MAX_ENTRIES, _MAX_LOGICAL = 256, 64


class Partition(Frozen, frozen=True):
    """A partition. ``kind``: its type, two hexadecimal digits in an MBR, a GUID in a GPT; ``offset`` in bytes.

    ``active``: marked as bootable by a BIOS.
    """

    kind: str
    offset: int
    active: bool = False


class PartitionLayout(Frozen, frozen=True):
    """A partition table. ``code``: boot code of the first sector; ``sector_bytes``: unit of the table."""

    label: str
    partitions: tuple[Partition, ...] = ()
    code: bytes = b""
    sector_bytes: int = SECTOR


def read_partition_layout(disk: RandomAccess) -> PartitionLayout:
    """Return the partition table of a disk; its ``label`` is ``gpt``, ``mbr`` or ``none``."""
    first = disk.read_at(0, SECTOR)
    if first[_SIGNATURE_AT:] != _SIGNATURE:
        return PartitionLayout(label="none")
    code = first[:CODE_BYTES]
    entries = tuple(_entries(first, 0))
    for sector_bytes in _GPT_SECTORS:
        header = _gpt_header(disk, sector_bytes)
        if header and any(entry.kind == _PROTECTIVE for entry in entries):
            hybrid = tuple(entry for entry in entries if entry.kind != _PROTECTIVE)
            return PartitionLayout(
                label="gpt",
                partitions=(*_gpt_partitions(disk, header, sector_bytes), *hybrid),
                code=code,
                sector_bytes=sector_bytes,
            )
    if first[0] in {0xEB, 0xE9} and _is_fat(first):
        return PartitionLayout(label="none", code=code)
    return PartitionLayout(label="mbr", partitions=(*entries, *_logical(disk, entries)), code=code)


def _is_fat(sector: bytes) -> bool:
    """True for the first sector of a FAT file system, which has code and text in place of partition entries."""
    return sector[54:57] == b"FAT" or sector[82:85] == b"FAT"


def _entries(sector: bytes, base: int) -> Iterator[Partition]:
    for at in range(_TABLE_AT, _SIGNATURE_AT, _ENTRY_BYTES):
        flag, kind, start, count = struct.unpack_from("<B3xB3xII", sector, at)
        if kind and count and flag in {0, _ACTIVE}:
            yield Partition(kind=f"{kind:02x}", offset=(base + start) * SECTOR, active=flag == _ACTIVE)


def _logical(disk: RandomAccess, entries: tuple[Partition, ...]) -> Iterator[Partition]:
    """Yield the partitions inside an extended one: a chain of sectors, each with a partition and the next sector."""
    extended = next((entry for entry in entries if entry.kind in _EXTENDED), None)
    if extended is None:
        return
    at = extended.offset
    for _ in range(_MAX_LOGICAL):
        sector = disk.read_at(at, SECTOR)
        if sector[_SIGNATURE_AT:] != _SIGNATURE:
            return
        inside = tuple(_entries(sector, at // SECTOR))
        yield from (entry for entry in inside if entry.kind not in _EXTENDED)
        after = [entry for entry in _entries(sector, extended.offset // SECTOR) if entry.kind in _EXTENDED]
        if not after:
            return
        at = after[0].offset


def _gpt_header(disk: RandomAccess, sector_bytes: int) -> bytes:
    """Return the primary header, else the copy in the last sector, else nothing."""
    for at in (sector_bytes, disk.size - sector_bytes):
        header = disk.read_at(at, 92) if at > 0 else b""
        if header.startswith(_GPT_MAGIC) and len(header) == 92:  # noqa: PLR2004 - as in the specification
            return header
    return b""


def _gpt_partitions(disk: RandomAccess, header: bytes, sector_bytes: int) -> Iterator[Partition]:
    at, count, entry_bytes = struct.unpack_from("<QII", header, 72)
    if entry_bytes % 128 or not 128 <= entry_bytes <= 4096:  # noqa: PLR2004 - as in the specification
        return
    for number in range(min(count, _MAX_ENTRIES)):
        entry = disk.read_at(at * sector_bytes + number * entry_bytes, 128)
        if len(entry) == 128 and any(entry[:16]):  # noqa: PLR2004 - as above
            first, _, attributes = struct.unpack_from("<QQQ", entry, 32)
            yield Partition(
                kind=str(UUID(bytes_le=entry[:16])), offset=first * sector_bytes, active=bool(attributes & _LEGACY_BOOTABLE)
            )
