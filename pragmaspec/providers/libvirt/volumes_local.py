"""Copies of files into volumes on this machine, without the detour through the daemon."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

CHUNK_BYTES = 32 * 2**20
_NOT_SUPPORTED = (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)


def can_copy(target: Path, size: int) -> bool:
    """True if ``target`` is the empty file of ``size`` bytes that was just created for the copy, and is writable here.

    A daemon may see another file system than this process does, even on one machine.
    """
    try:
        found = target.lstat()
    except OSError:
        return False
    return target.is_file() and not target.is_symlink() and found.st_size == size and os.access(target, os.W_OK)


def copy_file(source: Path, target: Path, count: Callable[[int], None]) -> None:
    """Copy ``source`` into ``target``, an empty file of its size; holes stay holes. Durable on return.

    Raises OSError, also when the disk is full.
    """
    with source.open("rb", buffering=0) as reader, target.open("r+b", buffering=0) as writer:
        read_fd, write_fd = reader.fileno(), writer.fileno()
        size = os.fstat(read_fd).st_size
        at = 0
        while at < size:
            data = _seek(read_fd, at, os.SEEK_DATA, size)
            end = _seek(read_fd, data, os.SEEK_HOLE, size)
            count(data - at)
            at = data
            while at < end:
                copied = _copy_range(read_fd, write_fd, at, min(CHUNK_BYTES, end - at))
                if copied == 0:
                    raise OSError(errno.EIO, "the file was truncated while it was copied", str(source))
                at += copied
                count(copied)
        os.fsync(write_fd)


def _seek(handle: int, at: int, how: int, size: int) -> int:
    if at >= size:
        return size
    try:
        return os.lseek(handle, at, how)
    except OSError as error:
        if error.errno == errno.ENXIO:  # a hole up to the end
            return size
        raise


def _copy_range(read_fd: int, write_fd: int, at: int, length: int) -> int:
    """Copy as a clone where the file system supports it, else inside the kernel. Return the number of bytes copied."""
    try:
        return os.copy_file_range(read_fd, write_fd, length, at, at)
    except OSError as error:
        if error.errno not in _NOT_SUPPORTED:
            raise
    os.lseek(write_fd, at, os.SEEK_SET)
    return os.sendfile(write_fd, read_fd, at, length)
