"""Files copied into volumes of this very machine, without the detour through the daemon."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

PIECE_BYTES = 32 * 2**20
_ELSEWHERE = (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)


def can_copy(target: Path, size: int) -> bool:
    """Whether ``target`` is the empty file of ``size`` bytes that was just made for the copy, and may be written here.

    A daemon may see another file system than this process does, even on one machine.
    """
    try:
        seen = target.lstat()
    except OSError:
        return False
    return target.is_file() and not target.is_symlink() and seen.st_size == size and os.access(target, os.W_OK)


def copy(source: Path, target: Path, sent: Callable[[int], None]) -> None:
    """Copy ``source`` into ``target``, which has its size and nothing in it; holes stay holes. Durable when it returns.

    Raises OSError, also when the disk is full.
    """
    with source.open("rb", buffering=0) as reading, target.open("r+b", buffering=0) as writing:
        come, go = reading.fileno(), writing.fileno()
        size = os.fstat(come).st_size
        at = 0
        while at < size:
            data = _seek(come, at, os.SEEK_DATA, size)
            end = _seek(come, data, os.SEEK_HOLE, size)
            sent(data - at)
            at = data
            while at < end:
                count = _copied(come, go, at, min(PIECE_BYTES, end - at))
                if count == 0:
                    raise OSError(errno.EIO, "the file became shorter while it was copied", str(source))
                at += count
                sent(count)
        os.fsync(go)


def _seek(handle: int, at: int, how: int, size: int) -> int:
    if at >= size:
        return size
    try:
        return os.lseek(handle, at, how)
    except OSError as error:
        if error.errno == errno.ENXIO:  # nothing but a hole up to the end
            return size
        raise


def _copied(come: int, go: int, at: int, count: int) -> int:
    """How many bytes were copied: as a clone where the file system can, else inside the kernel."""
    try:
        return os.copy_file_range(come, go, count, at, at)
    except OSError as error:
        if error.errno not in _ELSEWHERE:
            raise
    os.lseek(go, at, os.SEEK_SET)
    return os.sendfile(go, come, at, count)
