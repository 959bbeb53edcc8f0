"""A file that is opened once and read at any place: what was looked at is what is used, whatever becomes of its name."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from pragmaspec.errors import ImageError

HEAD_BYTES = 2**20
TAIL_BYTES = 4096


class RandomAccess(Protocol):
    """Bytes of a known number, readable anywhere."""

    @property
    def size(self) -> int:
        """How many there are."""
        ...

    def at(self, offset: int, length: int) -> bytes:
        """Up to ``length`` bytes from ``offset``; fewer at the end, none beyond it."""
        ...


class RandomAccessBytes:
    """A window on bytes in memory."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    @property
    def size(self) -> int:
        """How many there are."""
        return len(self._content)

    def at(self, offset: int, length: int) -> bytes:
        """See :class:`RandomAccess`."""
        return self._content[offset : offset + length]


class RandomAccessFile:
    """A window on an open file, which the caller keeps open; its length is what it was at the beginning."""

    def __init__(self, handle: int) -> None:
        self.handle = handle
        seen = os.fstat(handle)
        self._size, self._mtime_ns = seen.st_size, seen.st_mtime_ns

    @property
    def size(self) -> int:
        """How many bytes there were when it was opened."""
        return self._size

    def unchanged(self) -> bool:
        """Whether nobody has written to it since it was opened, as far as its length and time tell."""
        now = os.fstat(self.handle)
        return (now.st_size, now.st_mtime_ns) == (self._size, self._mtime_ns)

    def at(self, offset: int, length: int) -> bytes:
        """See :class:`RandomAccess`."""
        return os.pread(self.handle, min(length, max(0, self._size - offset)), offset)


@contextmanager
def open_regular(file: Path) -> Iterator[RandomAccessFile]:
    """Open a regular file once. Raises ImageError when it is none, or cannot be read.

    Never waits (a FIFO would let it hang) and never touches a device.
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
    """The error for a file that cannot be opened."""
    gone = isinstance(error, FileNotFoundError)
    detail = f"There is no file {file}." if gone else f"{file}: {error.strerror}."
    return ImageError("Image cannot be read", detail)


def not_a_regular_file(file: Path) -> ImageError:
    """The error for a folder, a device or a pipe in place of a disk."""
    what = "is a folder" if file.is_dir() else "is not a regular file"
    return ImageError("Not a file", f"{file} {what}. Write the path of a disk image.")
