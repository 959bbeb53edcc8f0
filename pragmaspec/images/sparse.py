"""Writing and reading files with holes: long stretches of zeros take no room, neither when copied nor when converted."""

import errno
import os
from collections.abc import Iterable, Iterator
from hashlib import sha256
from queue import SimpleQueue
from threading import Semaphore, Thread
from types import TracebackType
from typing import Self

from pragmaspec.images.store import CHUNK_BYTES

BLOCK = 64 * 1024
"""Zeros are left out in blocks of this size; also the cluster of the qcow2 files that are made of a disk."""
NOTHING = bytes(BLOCK)
_WAITING_PIECES = 16


class Digest:
    """A SHA-256 that is made beside the writing, by a thread of its own: hashing is the slower of the two."""

    def __init__(self) -> None:
        self._digest = sha256()
        self._queue: SimpleQueue[bytes | None] = SimpleQueue()
        self._room = Semaphore(_WAITING_PIECES)
        self._thread = Thread(target=self._run, name="digest", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._end()

    def update(self, piece: bytes) -> None:
        """More bytes. Waits when the digest is far behind."""
        self._room.acquire()
        self._queue.put(piece)

    def hexdigest(self) -> str:
        """Of all bytes; no more may follow."""
        self._end()
        return self._digest.hexdigest()

    def _end(self) -> None:
        if self._thread.is_alive():
            self._queue.put(None)
            self._thread.join()

    def _run(self) -> None:
        while (piece := self._queue.get()) is not None:
            self._digest.update(piece)
            self._room.release()


def write_sparse(handle: int, pieces: Iterable[bytes]) -> tuple[str, int]:
    """Write the pieces from the beginning of an empty file; their SHA-256 and how many bytes they were."""
    at = 0
    with Digest() as digest:
        for piece in pieces:
            digest.update(piece)
            for start in range(0, len(piece), BLOCK):
                block = piece[start : start + BLOCK] if len(piece) > BLOCK else piece
                if block != NOTHING[: len(block)]:
                    _write(handle, block, at + start)
            at += len(piece)
        os.ftruncate(handle, at)
        return digest.hexdigest(), at


def blocks_of(handle: int) -> Iterator[bytes]:
    """The file in blocks of 64 KiB, the last perhaps shorter; holes are not read, and are the object ``NOTHING``."""
    size, at = os.fstat(handle).st_size, 0
    while at < size:
        data = min(_data_after(handle, at, size) // BLOCK * BLOCK, size)
        for start in range(at, data, BLOCK):
            yield NOTHING[: size - start] if size - start < BLOCK else NOTHING
        at = max(at, data)
        if at < size:
            chunk = os.pread(handle, min(CHUNK_BYTES, size - at), at)
            if not chunk:
                return
            for start in range(0, len(chunk), BLOCK):
                yield chunk[start : start + BLOCK]
            at += len(chunk)


def _data_after(handle: int, at: int, size: int) -> int:
    """Where the next bytes stand that are no hole; the end when there are none."""
    try:
        return os.lseek(handle, at, os.SEEK_DATA)
    except OSError as error:
        return size if error.errno == errno.ENXIO else at


def _write(handle: int, block: bytes, at: int) -> None:
    while block:
        written = os.pwrite(handle, block, at)
        block, at = block[written:], at + written
