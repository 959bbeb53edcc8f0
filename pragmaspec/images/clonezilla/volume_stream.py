"""Volumes of a partition as one stream: read through a decompressor with a few MiB of memory, and written with a size limit."""

import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from pragmaspec.errors import ImageError
from pragmaspec.images.clonezilla import tools
from pragmaspec.images.formats.inspect import MAX_VIRTUAL_BYTES

CHUNK_BYTES = 2**20
HOLE_BYTES = 2**16
"""Length of zeros that become a hole."""
MAX_TRAILING_CHUNKS = 64
"""Chunks read after the end of an image, where there should be nothing."""
MAX_MESSAGE_BYTES = 2**20
"""Maximum size of a program's messages."""
ReadChunks = Callable[[], Iterator[bytes]]
"""Yields the content of all volumes, in order. Called once, in a thread; may download volume by volume."""
_INTERRUPT_WAIT_S = 2.0
_SIGPIPE_STATUS = -13
"""Status of a program whose reader closed the pipe."""
_LETTERS = 26


class DecompressedStream:
    """A stream that a thread feeds to a decompressor, whose result is ``output``."""

    def __init__(self, chunks: ReadChunks, command: Sequence[str]) -> None:
        self._chunks = chunks
        self._name = command[0]
        self._messages = tempfile.TemporaryFile()  # noqa: SIM115 - closed on exit
        # The programs write to the pipe only; lrzip alone needs a file for data that it reads twice.
        max_bytes = MAX_VIRTUAL_BYTES if self._name == "lrzip" else MAX_MESSAGE_BYTES
        self._process = subprocess.Popen(
            tools.limited_command(command, max_bytes),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._messages,
            env=tools.environment(),
        )
        self._feed_error: BaseException | None = None
        self._stopped = False
        self._feeder = threading.Thread(target=self._feed, daemon=True)

    def __enter__(self) -> Self:
        self._feeder.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stopped = True
        if self._process.poll() is None and error is not None:
            self._process.kill()
        self.output.close()
        self._process.wait()
        # After an interruption, a running download is not waited for.
        self._feeder.join(None if error is None else _INTERRUPT_WAIT_S)
        self._messages.close()

    @property
    def output(self) -> IO[bytes]:
        """The decompressed data, to be read to its end or passed to a program."""
        if self._process.stdout is None:
            raise RuntimeError("the program was started with a pipe")
        return self._process.stdout

    def finish(self) -> None:
        """Wait for the end. Raises ImageError if reading or decompressing failed.

        Remaining output is read, because the decompressor would otherwise block, and verifies its checksum only at the end. Close
        ``output`` first to ignore it.
        """
        if not self.output.closed:
            for _ in range(MAX_TRAILING_CHUNKS):
                if not self.output.read(CHUNK_BYTES):
                    break
            self.output.close()
        status = self._process.wait()
        self._feeder.join()
        if self._feed_error is not None and not isinstance(self._feed_error, BrokenPipeError):
            raise self._feed_error
        if status not in {0, _SIGPIPE_STATUS}:
            self._messages.seek(0)
            raise tools.program_error(self._name, status, self._messages.read())

    def _feed(self) -> None:
        stdin = self._process.stdin
        if stdin is None:
            raise RuntimeError("the program was started with a pipe")
        try:
            for chunk in self._chunks():
                if self._stopped:
                    break
                stdin.write(chunk)
        except BaseException as error:  # noqa: BLE001 - raised by finish()
            self._feed_error = error
        finally:
            with suppress(BrokenPipeError):
                stdin.close()


@contextmanager
def open_decompressed(chunks: ReadChunks, compression: str) -> Iterator[DecompressedStream]:
    """Open the stream. Call ``finish`` after its output was read."""
    with DecompressedStream(chunks, tools.decompress_command(compression)) as stream:
        yield stream


def read_start(chunks: ReadChunks, compression: str, length: int) -> bytes:
    """Return the first ``length`` decompressed bytes; fewer if the volume is damaged or shorter."""
    with open_decompressed(chunks, compression) as stream:
        return stream.output.read(length)


def copy_sparse(source: IO[bytes], target: IO[bytes], offset: int, max_bytes: int) -> int:
    """Copy ``source`` into ``target`` at ``offset``, without zeros. Return its size, or ``max_bytes`` + 1 if it is larger."""
    done = 0
    while chunk := source.read(CHUNK_BYTES):
        if done + len(chunk) > max_bytes:
            return max_bytes + 1
        for start in range(0, len(chunk), HOLE_BYTES):
            block = chunk[start : start + HOLE_BYTES]
            if block.count(0) != len(block):
                target.seek(offset + done + start)
                target.write(block)
        done += len(chunk)
    return done


class VolumeWriter:
    """Writes a stream to files ``<stem>.aa``, ``<stem>.ab``, … of at most ``max_bytes``, or to one file ``stem`` if that is 0."""

    def __init__(self, stem: Path, max_bytes: int) -> None:
        self._stem = stem
        self._max_bytes = max_bytes

    def write(self, source: IO[bytes], progress: Callable[[int], None]) -> None:
        """Write all of ``source``. Raises ImageError if it needs more volumes than two letters can name."""
        done, number = 0, 0
        chunk = source.read(self._chunk_bytes(0))
        while chunk or number == 0:
            with self._path(number).open("xb") as file:
                written = 0
                while chunk:
                    file.write(chunk)
                    written += len(chunk)
                    done += len(chunk)
                    progress(done)
                    if self._max_bytes and written == self._max_bytes:
                        break
                    chunk = source.read(self._chunk_bytes(written))
            number += 1
            chunk = source.read(self._chunk_bytes(0)) if chunk else b""

    def _chunk_bytes(self, written: int) -> int:
        return min(CHUNK_BYTES, self._max_bytes - written) if self._max_bytes else CHUNK_BYTES

    def _path(self, number: int) -> Path:
        if not self._max_bytes:
            return self._stem
        first, second = divmod(number, _LETTERS)
        if first >= _LETTERS:
            detail = f"{self._stem.name} needs more than {_LETTERS**2} volumes. Make them larger."
            raise ImageError("Too many volumes", detail)
        return self._stem.with_name(f"{self._stem.name}.{chr(97 + first)}{chr(97 + second)}")
