"""Read and write sparse files: long ranges of zeros take no disk space, neither when copied nor when converted."""

import errno
import os
from collections.abc import Iterable, Iterator

from pragmaspec.images.hashing import ThreadedHash

BLOCK_BYTES = 64 * 1024
"""Zeros are skipped in blocks of this size, which is also the cluster size of the qcow2 files written here."""
ZERO_BLOCK = bytes(BLOCK_BYTES)
_READ_BYTES = 4 * 2**20


def write_sparse(handle: int, chunks: Iterable[bytes]) -> tuple[str, int]:
    """Write the chunks to an empty file; return their SHA-256 and their total length in bytes."""
    at = 0
    with ThreadedHash() as digest:
        for chunk in chunks:
            digest.update(chunk)
            write_sparse_at(handle, chunk, at)
            at += len(chunk)
        os.ftruncate(handle, at)
        return digest.hex("sha256"), at


def write_sparse_at(handle: int, chunk: bytes, at: int) -> None:
    """Write ``chunk`` at ``at`` without its blocks of zeros, which stay holes in a new file.

    The file ends behind the last byte that was written.
    """
    whole = memoryview(chunk)
    for start, end in data_ranges(chunk):
        done = start
        while done < end:
            done += os.pwrite(handle, whole[done:end], at + done)


def data_ranges(chunk: bytes) -> Iterator[tuple[int, int]]:
    """Yield start and end of the ranges of ``chunk`` that are not blocks of zeros, in ascending order."""
    begun = -1
    for start in range(0, len(chunk), BLOCK_BYTES):
        if is_zero_block(chunk, start):
            if begun >= 0:
                yield begun, start
            begun = -1
        elif begun < 0:
            begun = start
    if begun >= 0:
        yield begun, len(chunk)


def is_zero_block(chunk: bytes, start: int) -> bool:
    """True if the block of ``chunk`` from ``start`` is all zeros."""
    if chunk[start]:
        return False  # most other blocks differ in their first byte already: no need to copy them
    block = chunk[start : start + BLOCK_BYTES]
    return block == ZERO_BLOCK if len(block) == BLOCK_BYTES else not block.strip(b"\0")


def read_blocks(handle: int) -> Iterator[bytes]:
    """Yield the file in blocks of 64 KiB, the last may be shorter; holes are not read, but are the object ``ZERO_BLOCK``."""
    size, at = os.fstat(handle).st_size, 0
    while at < size:
        data = min(_data_after(handle, at, size) // BLOCK_BYTES * BLOCK_BYTES, size)
        for start in range(at, data, BLOCK_BYTES):
            yield ZERO_BLOCK[: size - start] if size - start < BLOCK_BYTES else ZERO_BLOCK
        at = max(at, data)
        if at < size:
            chunk = os.pread(handle, min(_READ_BYTES, size - at), at)
            if not chunk:
                return
            for start in range(0, len(chunk), BLOCK_BYTES):
                yield chunk[start : start + BLOCK_BYTES]
            at += len(chunk)


def _data_after(handle: int, at: int, size: int) -> int:
    """Return the offset of the next data that is not a hole; the end of the file if there is none."""
    try:
        return os.lseek(handle, at, os.SEEK_DATA)
    except OSError as error:
        return size if error.errno == errno.ENXIO else at
