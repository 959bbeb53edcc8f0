"""Reads regular files, pipes, devices and standard input; writes to pipes, devices and standard output.

No function waits indefinitely: not for the other end of a named pipe, and not for input at a terminal.
"""

import errno
import os
import select
import stat
import sys
import time
from pathlib import Path

STANDARD_STREAM = "-"
"""The name of standard input and output."""
PEER_TIMEOUT_S = 10.0
"""Time to wait for the other end of a named pipe to be opened."""
_CHUNK_BYTES = 2**20
_KINDS = {stat.S_IFDIR: "a directory", stat.S_IFIFO: "a pipe"}


class NotRegularFileError(OSError):
    """The file is of an unsuitable type; ``strerror`` is a clause that names it."""


def read_regular(path: Path, most_bytes: int) -> bytes:
    """Return at most the first ``most_bytes`` of a regular file; -1 for all of it.

    Raises OSError; NotRegularFileError for files whose reading may block or never end, such as pipes and devices.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    try:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            kind = _KINDS.get(stat.S_IFMT(mode), "a device")
            raise NotRegularFileError(errno.EINVAL, f"it is {kind}, not a regular file", str(path))
        with open(descriptor, "rb", closefd=False) as file:
            return file.read(most_bytes)
    finally:
        os.close(descriptor)


def is_stream(path: Path) -> bool:
    """True if ``path`` cannot be replaced: a pipe, a device, a socket, or any file in ``/dev`` or ``/proc``."""
    if path.parts[:2] in {("/", "dev"), ("/", "proc")}:
        return True
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


def is_standard_output(path: str) -> bool:
    """True if ``path`` is standard output: ``-``, ``/dev/stdout``, ``/dev/fd/1`` or ``/proc/self/fd/1``."""
    return path == STANDARD_STREAM or path in {"/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"}


def read_stream(path: str, most_bytes: int, timeout_s: float = PEER_TIMEOUT_S) -> bytes:
    """Return at most the first ``most_bytes`` of the file or stream ``path``; ``-`` is standard input.

    Raises OSError, also if the input is a terminal, or if a named pipe has no writer for ``timeout_s`` seconds.
    """
    if path == STANDARD_STREAM:
        if sys.stdin.isatty():
            raise NotRegularFileError(errno.EINVAL, "it is a terminal; pipe something into it", "standard input")
        return sys.stdin.buffer.read(most_bytes)
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    with os.fdopen(descriptor, "rb") as file:
        if os.isatty(descriptor):
            raise NotRegularFileError(errno.EINVAL, "it is a terminal; name a file", path)
        named_pipe = stat.S_ISFIFO(os.lstat(path).st_mode)
        if named_pipe and not select.select([descriptor], [], [], timeout_s)[0]:
            raise NotRegularFileError(errno.ENXIO, "it is a pipe without a writer", path)
        os.set_blocking(descriptor, True)
        return file.read(most_bytes)


def write_stream(path: str, data: bytes, timeout_s: float = PEER_TIMEOUT_S) -> None:
    """Write ``data`` to the stream ``path``. Raises OSError, also if a named pipe has no reader for ``timeout_s`` seconds."""
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
            break
        except OSError as error:
            if error.errno != errno.ENXIO or not is_stream(Path(path)):
                raise
            if time.monotonic() > deadline:
                raise NotRegularFileError(errno.ENXIO, "it is a pipe without a reader", path) from None
            time.sleep(0.05)
    with os.fdopen(descriptor, "wb", buffering=0) as file:
        os.set_blocking(descriptor, True)
        view = memoryview(data)
        while view:
            view = view[file.write(view[:_CHUNK_BYTES]) :]
