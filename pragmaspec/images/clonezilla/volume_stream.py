"""Volumes of one partition as one stream, unpacked by a program beside us; never more than a few MiB in memory.

A stream cut into files, as ``split -a 2`` names them: ``.aa``, ``.ab``, and so on.
"""

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
MAX_TRAILING_CHUNKS = 64
"""How much behind the end of an image is still looked at: there should be nothing."""
MAX_MESSAGE_BYTES = 2**20
"""What a program may have to say."""
ReadChunks = Callable[[], Iterator[bytes]]
"""Gives the bytes of all volumes, in order. Called once, in a thread of its own; may fetch them one after another."""
_PATIENCE_S = 2.0
_CLOSED_PIPE = -13
"""A program that writes to somebody who has stopped reading."""


class DecompressedStream:
    """A stream that is fed by a thread and unpacked by a program; ``output`` is what is in it."""

    def __init__(self, pieces: ReadChunks, command: Sequence[str]) -> None:
        self._pieces = pieces
        self._name = command[0]
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - closed on leaving
        # It writes only to the pipe, and some words; lrzip alone has to keep what it cannot read twice.
        most_bytes = MAX_VIRTUAL_BYTES if self._name == "lrzip" else MAX_MESSAGE_BYTES
        self._process = subprocess.Popen(
            tools.limited_command(command, most_bytes),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            env=tools.environment(),
        )
        self._trouble: BaseException | None = None
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
        # A download that is under way when the user interrupts is not waited for.
        self._feeder.join(None if error is None else _PATIENCE_S)
        self._said.close()

    @property
    def output(self) -> IO[bytes]:
        """To be read to its end, or handed to a program."""
        if self._process.stdout is None:
            raise RuntimeError("the program was started with a pipe")
        return self._process.stdout

    def finish(self) -> None:
        """Wait until all is done. Raises ImageError when fetching or unpacking failed.

        The program would wait for ever for somebody to read what is left. So that is read here, since the check sums of the
        compression stand at its end; close ``output`` before when it does not matter.
        """
        if not self.output.closed:
            for _ in range(MAX_TRAILING_CHUNKS):
                if not self.output.read(CHUNK_BYTES):
                    break
            self.output.close()
        status = self._process.wait()
        self._feeder.join()
        if isinstance(self._trouble, ImageError):
            raise self._trouble
        if self._trouble is not None and not isinstance(self._trouble, BrokenPipeError):
            raise self._trouble
        if status not in {0, _CLOSED_PIPE}:
            self._said.seek(0)
            raise tools.program_error(self._name, status, self._said.read())

    def _feed(self) -> None:
        stdin = self._process.stdin
        if stdin is None:
            raise RuntimeError("the program was started with a pipe")
        try:
            for piece in self._pieces():
                if self._stopped:
                    break
                stdin.write(piece)
        except BaseException as error:  # noqa: BLE001 - told to the thread that waits
            self._trouble = error
        finally:
            with suppress(BrokenPipeError):
                stdin.close()


@contextmanager
def open_decompressed(pieces: ReadChunks, compression: str) -> Iterator[DecompressedStream]:
    """The stream in ``pieces``. Call ``finish`` when its output was taken."""
    with DecompressedStream(pieces, tools.decompress_command(compression)) as stream:
        yield stream


def read_start(pieces: ReadChunks, compression: str, length: int) -> bytes:
    """The first ``length`` bytes of what is in a volume; fewer when it is damaged or shorter."""
    with open_decompressed(pieces, compression) as stream:
        return stream.output.read(length)


def copy_sparse(source: IO[bytes], target: IO[bytes], offset: int, most_bytes: int) -> int:
    """Copy ``source`` into ``target`` from ``offset``, leaving out zeros; how many bytes came, ``most_bytes`` + 1 when more."""
    done = 0
    while piece := source.read(CHUNK_BYTES):
        if done + len(piece) > most_bytes:
            return most_bytes + 1
        for at in range(0, len(piece), HOLE_BYTES):
            block = piece[at : at + HOLE_BYTES]
            if block.count(0) != len(block):
                target.seek(offset + done + at)
                target.write(block)
        done += len(piece)
    return done


HOLE_BYTES = 2**16
"""Zeros of this length become a hole."""


_LETTERS = 26
_CHUNK_BYTES = 2**20


class VolumeWriter:
    """Files ``<stem>.aa`` and on of at most ``most_bytes`` each; one file ``stem`` when that is 0."""

    def __init__(self, stem: Path, most_bytes: int) -> None:
        self._stem = stem
        self._most = most_bytes

    def take(self, process: "subprocess.Popen[bytes]", counted: Callable[[int], None]) -> None:
        """All that ``process`` writes. Raises ImageError when there are more files than two letters name."""
        if process.stdout is None:
            raise RuntimeError("the program was started with a pipe")
        done, number = 0, 0
        with process.stdout as source:
            piece = source.read(self._chunk(0))
            while piece or number == 0:
                with self._path(number).open("xb") as file:
                    written = 0
                    while piece:
                        file.write(piece)
                        written += len(piece)
                        done += len(piece)
                        counted(done)
                        if self._most and written == self._most:
                            break
                        piece = source.read(self._chunk(written))
                number += 1
                piece = source.read(self._chunk(0)) if piece else b""

    def _chunk(self, written: int) -> int:
        return min(_CHUNK_BYTES, self._most - written) if self._most else _CHUNK_BYTES

    def _path(self, number: int) -> Path:
        if not self._most:
            return self._stem
        first, second = divmod(number, _LETTERS)
        if first >= _LETTERS:
            detail = f"{self._stem.name} has more than {_LETTERS**2} volumes. Make them larger."
            raise ImageError("Too many volumes", detail)
        return self._stem.with_name(f"{self._stem.name}.{chr(97 + first)}{chr(97 + second)}")
