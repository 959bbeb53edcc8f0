"""The three standard streams of the process, so that what becomes of them is known: missing, full, or read by nobody."""

import errno
import io
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_ERROR = 2


class OutputError(OSError):
    """Standard output or standard error takes nothing more. Has no ``errno``, by which click would know it and end the command.

    ``stream``: which, in words; ``why``: the system's words; ``unread``: whether all that happened is that its reader has gone.
    """

    def __init__(self, stream: str, error: OSError) -> None:
        super().__init__(f"{stream}: {error}")
        self.stream = stream
        self.why = "it is closed" if error.errno == errno.EBADF else error.strerror or str(error)
        self.unread = error.errno == errno.EPIPE


def watch_streams() -> None:
    """Give this process streams that raise OutputError, and open what was closed.

    A closed standard error says that nobody wants to read it; a closed standard output is an output that cannot be written.
    Their numbers are taken in any case: the next file that is opened would get them, and with it what is printed.
    """
    for number, mode in enumerate((os.O_RDONLY, os.O_RDONLY, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, mode)
    if sys.stdin is None:
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - for as long as the process lives
    sys.stdout = _watched(sys.stdout, 1, "standard output")
    sys.stderr = _watched(sys.stderr, _ERROR, "standard error")


def discard_output() -> None:
    """Let what Python still wants to write at its end go nowhere, quietly: nobody reads it."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for descriptor in (1, 2):
        os.dup2(nowhere, descriptor)
    os.close(nowhere)
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):
            stream.flush()


class _Output(io.BufferedWriter):
    """A file descriptor whose trouble is an OutputError.

    Not the raw file below it: a signal that came between its write and its answer would have the same bytes written again.
    """

    def __init__(self, descriptor: int, title: str) -> None:
        super().__init__(io.FileIO(descriptor, "w", closefd=False))
        self._title = title

    def write(self, data: "ReadableBuffer", /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            raise OutputError(self._title, error) from error

    def flush(self) -> None:
        try:
            super().flush()
        except OSError as error:
            raise OutputError(self._title, error) from error


def _watched(stream: TextIO | None, descriptor: int, title: str) -> TextIO:
    """A stream like ``stream``, which is None when its descriptor was closed."""
    if stream is not None:
        with suppress(OSError):
            stream.flush()
    return io.TextIOWrapper(
        _Output(descriptor, title),
        encoding=stream.encoding if stream is not None else "utf-8",
        errors=stream.errors if stream is not None else "backslashreplace",
        line_buffering=descriptor == _ERROR or os.isatty(descriptor),
    )
