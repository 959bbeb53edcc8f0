"""Documents that come from, or go to, whatever a person named: a regular file, a pipe, a device, standard input or output."""

import errno
import os
import select
import stat
import sys
import time
from pathlib import Path

from pragmaspec.spec.files import NotRegularFileError

STANDARD_STREAM = "-"
"""Names standard input or output."""
PEER_TIMEOUT_S = 10.0
"""How long the other end of a named pipe may take to be opened."""
_PIECE_BYTES = 2**20


def is_stream(path: Path) -> bool:
    """True if ``path`` cannot be replaced: a pipe, a device, a socket, or any file of ``/dev`` and ``/proc``."""
    if path.parts[:2] in {("/", "dev"), ("/", "proc")}:
        return True
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


def is_standard_output(path: str) -> bool:
    """True if ``path`` names standard output: ``-``, ``/dev/stdout``, ``/dev/fd/1``, ``/proc/self/fd/1``."""
    return path == STANDARD_STREAM or path in {"/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"}


def read_stream(path: str, most_bytes: int, other_end_s: float = PEER_TIMEOUT_S) -> bytes:
    """All of the file or stream ``path``, ``most_bytes`` at most; ``-`` is standard input.

    Raises OSError with a reason for people, also when standard input is a terminal, on which a document would be waited for, and
    when a named pipe has no writer for ``other_end_s`` seconds.
    """
    if path == STANDARD_STREAM:
        if sys.stdin.isatty():
            raise NotRegularFileError(errno.EINVAL, "it is a terminal; pipe something into it", "standard input")
        return sys.stdin.buffer.read(most_bytes)
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    with os.fdopen(descriptor, "rb") as file:
        if os.isatty(descriptor):
            raise NotRegularFileError(errno.EINVAL, "it is a terminal; name a file", path)
        named = stat.S_ISFIFO(os.lstat(path).st_mode)
        if named and not select.select([descriptor], [], [], other_end_s)[0]:
            raise NotRegularFileError(errno.ENXIO, "it is a pipe into which nothing writes", path)
        os.set_blocking(descriptor, True)
        return file.read(most_bytes)


def write_stream(path: str, data: bytes, other_end_s: float = PEER_TIMEOUT_S) -> None:
    """Write ``data`` into the stream ``path``. Raises OSError, also when a named pipe has no reader for so long."""
    until = time.monotonic() + other_end_s
    while True:
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
            break
        except OSError as error:
            if error.errno != errno.ENXIO or not is_stream(Path(path)):
                raise
            if time.monotonic() > until:
                raise NotRegularFileError(errno.ENXIO, "it is a pipe from which nothing reads", path) from None
            time.sleep(0.05)
    with os.fdopen(descriptor, "wb", buffering=0) as file:
        os.set_blocking(descriptor, True)
        view = memoryview(data)
        while view:
            view = view[file.write(view[:_PIECE_BYTES]) :]
