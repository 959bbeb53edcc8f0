"""Writing and reading files with holes: long stretches of zeros take no room, neither when copied nor when converted."""

import errno
import os
from collections.abc import Iterable, Iterator

from pragmaspec.images.hashing import ThreadedHash
from pragmaspec.images.store.blobs import CHUNK_BYTES

BLOCK_BYTES = 64 * 1024
"""Zeros are left out in blocks of this size; also the cluster of the qcow2 files that are made of a disk."""
ZERO_BLOCK = bytes(BLOCK_BYTES)


def write_sparse(handle: int, pieces: Iterable[bytes]) -> tuple[str, int]:
    """Write the pieces from the beginning of an empty file; their SHA-256 and how many bytes they were."""
    at = 0
    with ThreadedHash() as digest:
        for piece in pieces:
            digest.update(piece)
            write_sparse_at(handle, piece, at)
            at += len(piece)
        os.ftruncate(handle, at)
        return digest.hex("sha256"), at


def write_sparse_at(handle: int, piece: bytes, at: int) -> None:
    """Write ``piece`` at ``at`` but for its blocks of zeros, which become holes where nothing stands yet.

    The file ends where the last byte was written that is not left out.
    """
    whole = memoryview(piece)
    for start, end in data_ranges(piece):
        done = start
        while done < end:
            done += os.pwrite(handle, whole[done:end], at + done)


def data_ranges(piece: bytes) -> Iterator[tuple[int, int]]:
    """Where the bytes of ``piece`` begin and end that are not blocks of zeros, in ascending order."""
    begun = -1
    for start in range(0, len(piece), BLOCK_BYTES):
        if is_zero_block(piece, start):
            if begun >= 0:
                yield begun, start
            begun = -1
        elif begun < 0:
            begun = start
    if begun >= 0:
        yield begun, len(piece)


def is_zero_block(piece: bytes, start: int) -> bool:
    """Whether the block of ``piece`` from ``start`` is all zeros."""
    if piece[start]:
        return False  # most blocks that are not zeros begin otherwise: no need to cut them out
    block = piece[start : start + BLOCK_BYTES]
    return block == ZERO_BLOCK if len(block) == BLOCK_BYTES else not block.strip(b"\0")


def read_blocks(handle: int) -> Iterator[bytes]:
    """The file in blocks of 64 KiB, the last perhaps shorter; holes are not read, and are the object ``ZERO_BLOCK``."""
    size, at = os.fstat(handle).st_size, 0
    while at < size:
        data = min(_data_after(handle, at, size) // BLOCK_BYTES * BLOCK_BYTES, size)
        for start in range(at, data, BLOCK_BYTES):
            yield ZERO_BLOCK[: size - start] if size - start < BLOCK_BYTES else ZERO_BLOCK
        at = max(at, data)
        if at < size:
            chunk = os.pread(handle, min(CHUNK_BYTES, size - at), at)
            if not chunk:
                return
            for start in range(0, len(chunk), BLOCK_BYTES):
                yield chunk[start : start + BLOCK_BYTES]
            at += len(chunk)


def _data_after(handle: int, at: int, size: int) -> int:
    """Where the next bytes stand that are no hole; the end when there are none."""
    try:
        return os.lseek(handle, at, os.SEEK_DATA)
    except OSError as error:
        return size if error.errno == errno.ENXIO else at
