"""qcow2 files that are a function of the disk in them, and of nothing else.

``qemu-img convert`` writes what its version and the order of its threads make of a disk, so that two machines get two digests of
one disk. Here the same guest-visible bytes give the same file: version 3, clusters of 64 KiB, clusters of zeros left out, the
others in the order of the disk, each table of the second level behind the clusters it names; then the first table, the reference
counts, and their table. Written from beginning to end but for the header. Source: QEMU's ``docs/interop/qcow2.txt``.
"""

import struct
from array import array
from collections.abc import Iterable, Iterator
from typing import BinaryIO

from pragmaspec.images.formats.inspect import MAX_VIRTUAL_BYTES, image_refused
from pragmaspec.images.formats.sparse import BLOCK_BYTES, ZERO_BLOCK, is_zero_block

CLUSTER_BYTES = BLOCK_BYTES
SECTOR = 512
_L2_ENTRIES = CLUSTER_BYTES // 8
_REFCOUNTS = CLUSTER_BYTES // 2
"""Reference counts of 16 bits in one cluster."""
_COPIED = 1 << 63
"""Says of a cluster that it has exactly one user."""
_HEADER = struct.Struct(">4sIQIIQIIQQIIQQQQII")
_HEADER_BYTES = 104


def write_qcow2(target: BinaryIO, pieces: Iterable[bytes], most_bytes: int = MAX_VIRTUAL_BYTES) -> int:
    """Write the disk of these pieces to the empty file ``target`` and return its virtual size in bytes.

    Pieces may be of any length; those of a cluster each (see :func:`pragmaspec.images.formats.sparse.read_blocks`) go the short
    way. Raises
    ImageError when the disk has more than ``most_bytes``, or is not whole sectors.
    """
    return _Writer(target, most_bytes).write(_clusters(pieces))


def _clusters(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in clusters; those of zeros are ``ZERO_BLOCK``."""
    held = b""
    for piece in pieces:
        rest = held + piece if held else piece
        end = len(rest) // CLUSTER_BYTES * CLUSTER_BYTES
        for start in range(0, end, CLUSTER_BYTES):
            yield ZERO_BLOCK if is_zero_block(rest, start) else rest[start : start + CLUSTER_BYTES]
        held = rest[end:]
    if held:
        yield held


class _Writer:
    """One file in the making: the next free cluster, and the tables that are not full yet."""

    def __init__(self, target: BinaryIO, most_bytes: int) -> None:
        self._target = target
        self._most_bytes = most_bytes
        self._next = 1
        self._l1 = array("Q")
        self._l2 = array("Q")

    def write(self, clusters: Iterator[bytes]) -> int:
        self._target.seek(CLUSTER_BYTES)
        size = 0
        for cluster in clusters:
            size += len(cluster)
            if size > self._most_bytes:
                raise image_refused([f"it unpacks to more than {self._most_bytes} bytes"])
            if cluster is ZERO_BLOCK or is_zero_block(cluster, 0):
                self._l2.append(0)
            else:
                self._l2.append(self._append(cluster.ljust(CLUSTER_BYTES, b"\0")) | _COPIED)
            if len(self._l2) == _L2_ENTRIES:
                self._end_l2()
        if size % SECTOR:
            raise image_refused([f"a raw disk has whole sectors of 512 bytes; this one has {size} bytes"])
        if self._l2:
            self._end_l2()
        self._finish(size)
        return size

    def _append(self, cluster: bytes) -> int:
        at = self._next * CLUSTER_BYTES
        self._target.write(cluster)
        self._next += len(cluster) // CLUSTER_BYTES
        return at

    def _table(self, entries: "array[int]") -> int:
        """Write a table, big endian and filled up to a whole cluster."""
        return self._append(_padded(_big_endian(entries)))

    def _end_l2(self) -> None:
        self._l1.append(self._table(self._l2) | _COPIED if any(self._l2) else 0)
        self._l2 = array("Q")

    def _finish(self, size: int) -> None:
        l1_entries = len(self._l1)
        l1_at = self._table(self._l1)
        blocks, tables = _count_blocks(self._next)
        blocks_at = self._next * CLUSTER_BYTES
        counts = array("H", [1]) * (self._next + blocks + tables)
        self._append(_padded(_big_endian(counts)))
        table_at = self._table(array("Q", range(blocks_at, blocks_at + blocks * CLUSTER_BYTES, CLUSTER_BYTES)))
        self._target.seek(0)
        header = _HEADER.pack(
            b"QFI\xfb", 3, 0, 0, CLUSTER_BYTES.bit_length() - 1, size, 0, l1_entries, l1_at, table_at, tables, 0, 0, 0, 0, 0, 4,
            _HEADER_BYTES,
        )  # fmt: skip
        self._target.write(header.ljust(CLUSTER_BYTES, b"\0"))


def _count_blocks(used: int) -> tuple[int, int]:
    """How many clusters of reference counts ``used`` clusters and they themselves need, and how many their table needs."""
    blocks = tables = 0
    while True:
        more = -(-(used + blocks + tables) // _REFCOUNTS)
        more_tables = -(-more * 8 // CLUSTER_BYTES)
        if (more, more_tables) == (blocks, tables):
            return blocks, tables
        blocks, tables = more, more_tables


def _big_endian(entries: "array[int]") -> bytes:
    swapped = array(entries.typecode, entries)
    if struct.pack("=H", 1) == struct.pack("<H", 1):
        swapped.byteswap()
    return swapped.tobytes()


def _padded(content: bytes) -> bytes:
    return content.ljust(-(-len(content) // CLUSTER_BYTES) * CLUSTER_BYTES, b"\0")
