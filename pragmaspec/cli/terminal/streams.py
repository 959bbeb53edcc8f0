"""The standard streams of the process, with reliable detection of a missing, full or unread output."""

import errno
import io
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, TextIO

from pragmaspec.typing import override

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_ERROR = 2


class OutputError(OSError):
    """Standard output or standard error cannot be written. Has no ``errno``, because click would handle it and exit.

    ``stream``: its human-readable name; ``reason``: the system's message; ``reader_gone``: True if the reader closed the pipe.
    """

    def __init__(self, stream: str, error: OSError) -> None:
        super().__init__(f"{stream}: {error}")
        self.stream = stream
        self.reason = "it is closed" if error.errno == errno.EBADF else error.strerror or str(error)
        self.reader_gone = error.errno == errno.EPIPE


def watch_streams() -> None:
    """Replace the standard streams by ones that raise OutputError, and open those that are closed.

    A closed standard error discards its output; a closed standard output cannot be written. Their descriptors are always
    occupied: otherwise the next opened file would get one of them, and with it the printed text.
    """
    for number, mode in enumerate((os.O_RDONLY, os.O_RDONLY, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, mode)
    if sys.stdin is None:
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - open for the lifetime of the process
    sys.stdout = _watched(sys.stdout, 1, "standard output")
    sys.stderr = _watched(sys.stderr, _ERROR, "standard error")


def discard_output() -> None:
    """Redirect both outputs to /dev/null, so that Python can flush them at exit without an error."""
    null = os.open(os.devnull, os.O_WRONLY)
    for descriptor in (1, 2):
        os.dup2(null, descriptor)
    os.close(null)
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):
            stream.flush()


class _Output(io.BufferedWriter):
    """A file descriptor that raises OutputError.

    Not the raw file below it: a signal between its write and its return would cause the same bytes to be written again.
    """

    def __init__(self, descriptor: int, title: str) -> None:
        super().__init__(io.FileIO(descriptor, "w", closefd=False))
        self._title = title

    @override
    def write(self, data: "ReadableBuffer", /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            raise OutputError(self._title, error) from error

    @override
    def flush(self) -> None:
        try:
            super().flush()
        except OSError as error:
            raise OutputError(self._title, error) from error


def _watched(stream: TextIO | None, descriptor: int, title: str) -> TextIO:
    """Return a replacement for ``stream``, which is None if its descriptor was closed."""
    if stream is not None:
        with suppress(OSError):
            stream.flush()
    return io.TextIOWrapper(
        _Output(descriptor, title),
        encoding=stream.encoding if stream is not None else "utf-8",
        errors=stream.errors if stream is not None else "backslashreplace",
        line_buffering=descriptor == _ERROR or os.isatty(descriptor),
    )
