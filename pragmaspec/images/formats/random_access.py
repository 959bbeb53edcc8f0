"""Random access to a file through one descriptor, so that the inspected bytes are the used bytes (no TOCTOU)."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from pragmaspec.errors import ImageError
from pragmaspec.typing import override

HEAD_BYTES = 2**20
TAIL_BYTES = 4096


class RandomAccess(Protocol):
    """A fixed number of bytes that can be read at any offset."""

    @property
    def size(self) -> int:
        """The number of bytes."""
        ...

    def read_at(self, offset: int, length: int) -> bytes:
        """Return up to ``length`` bytes from ``offset``; fewer at the end, none beyond it."""
        ...


class RandomAccessBytes(RandomAccess):
    """Random access to bytes in memory."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    @property
    @override
    def size(self) -> int:
        return len(self._content)

    @override
    def read_at(self, offset: int, length: int) -> bytes:
        return self._content[offset : offset + length]


class RandomAccessFile(RandomAccess):
    """Random access to a file that the caller keeps open, at the size it had when it was opened."""

    def __init__(self, handle: int) -> None:
        self.handle = handle
        status = os.fstat(handle)
        self._size, self._mtime_ns = status.st_size, status.st_mtime_ns

    @property
    @override
    def size(self) -> int:
        return self._size

    @override
    def read_at(self, offset: int, length: int) -> bytes:
        if offset >= self._size:  # may exceed 63 bits, which pread does not accept
            return b""
        return os.pread(self.handle, min(length, self._size - offset), offset)

    def unchanged(self) -> bool:
        """True if size and modification time are those of when the file was opened."""
        now = os.fstat(self.handle)
        return (now.st_size, now.st_mtime_ns) == (self._size, self._mtime_ns)


def read_tail(source: RandomAccess) -> bytes:
    """Return the last 4 KiB."""
    return source.read_at(max(0, source.size - TAIL_BYTES), TAIL_BYTES)


@contextmanager
def open_regular(file: Path) -> Iterator[RandomAccessFile]:
    """Open a regular file. Raises ImageError if it is not one, or cannot be read.

    Does not block (as opening a FIFO would) and does not read from devices.
    """
    try:
        handle = os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise unreadable_file(file, error) from None
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise not_a_regular_file(file)
        yield RandomAccessFile(handle)
    finally:
        os.close(handle)


def unreadable_file(file: Path, error: OSError) -> ImageError:
    """Return the error for a file that cannot be opened."""
    missing = isinstance(error, FileNotFoundError)
    return ImageError("Image cannot be read", f"There is no file {file}." if missing else f"{file}: {error.strerror}.")


def not_a_regular_file(file: Path) -> ImageError:
    """Return the error for a folder, a device or a pipe instead of a disk."""
    reason = "is a folder" if file.is_dir() else "is not a regular file"
    return ImageError("Not a file", f"{file} {reason}. Write the path of a disk image.")
