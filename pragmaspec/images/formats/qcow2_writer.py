"""Write reproducible qcow2 files: the same guest-visible bytes give the same file.

The output of ``qemu-img convert`` depends on its version and on the order of its threads, so two machines would get two digests
of one disk. Layout: version 3, clusters of 64 KiB, no clusters of zeros, the others in the order of the disk, each L2 table
behind its clusters; then the L1 table, the reference counts, and their table. Written sequentially except for the header. Source:
QEMU's ``docs/interop/qcow2.txt``.
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
"""Number of 16-bit reference counts in a cluster."""
_COPIED = 1 << 63
"""Flag of clusters with a reference count of one."""
_HEADER = struct.Struct(">4sIQIIQIIQQIIQQQQII")
_HEADER_BYTES = 104


def write_qcow2(target: BinaryIO, chunks: Iterable[bytes], max_bytes: int = MAX_VIRTUAL_BYTES) -> int:
    """Write a disk to the empty file ``target`` and return its virtual size in bytes.

    Chunks may have any length; those of a cluster each (see :func:`pragmaspec.images.formats.sparse.read_blocks`) are not copied.
    Raises ImageError if the disk exceeds ``max_bytes``, or is not whole sectors.
    """
    return _Writer(target, max_bytes).write(_clusters(chunks))


def _clusters(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the same bytes in clusters; those of zeros are ``ZERO_BLOCK``."""
    left = b""
    for chunk in chunks:
        rest = left + chunk if left else chunk
        end = len(rest) // CLUSTER_BYTES * CLUSTER_BYTES
        for start in range(0, end, CLUSTER_BYTES):
            yield ZERO_BLOCK if is_zero_block(rest, start) else rest[start : start + CLUSTER_BYTES]
        left = rest[end:]
    if left:
        yield left


class _Writer:
    """Writes one file: the next free cluster, and the tables that are not yet full."""

    def __init__(self, target: BinaryIO, max_bytes: int) -> None:
        self._target = target
        self._max_bytes = max_bytes
        self._next = 1
        self._l1 = array("Q")
        self._l2 = array("Q")

    def write(self, clusters: Iterator[bytes]) -> int:
        self._target.seek(CLUSTER_BYTES)
        size = 0
        for cluster in clusters:
            size += len(cluster)
            if size > self._max_bytes:
                raise image_refused([f"it expands to more than {self._max_bytes} bytes"])
            if cluster is ZERO_BLOCK or is_zero_block(cluster, 0):
                self._l2.append(0)
            else:
                self._l2.append(self._append(cluster.ljust(CLUSTER_BYTES, b"\0")) | _COPIED)
            if len(self._l2) == _L2_ENTRIES:
                self._end_l2()
        if size % SECTOR:
            raise image_refused([f"a raw disk must have whole sectors of 512 bytes; this one has {size} bytes"])
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
        """Write a table, big endian and padded to a whole cluster."""
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
    """Return the clusters of reference counts for ``used`` clusters and themselves, and the clusters of their table."""
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
