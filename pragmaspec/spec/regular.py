"""The bytes of a file that a person named: of a regular one, never more than asked for, and without waiting for a writer."""

import errno
import os
import stat
from pathlib import Path


class NotRegularError(OSError):
    """There is something else than a regular file; ``strerror`` says what."""


_KINDS = {stat.S_IFDIR: "a directory", stat.S_IFIFO: "a pipe"}


def read_regular(path: Path, most_bytes: int) -> bytes:
    """The first ``most_bytes`` of the file at most; all of it for -1.

    Raises OSError; NotRegularError for what would be waited for, such as a pipe, or may never end, such as a device.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    try:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            kind = _KINDS.get(stat.S_IFMT(mode), "a device")
            raise NotRegularError(errno.EINVAL, f"it is {kind}, not a regular file", str(path))
        with open(descriptor, "rb", closefd=False) as file:
            return file.read(most_bytes)
    finally:
        os.close(descriptor)
