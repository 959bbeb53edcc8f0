"""A file that still comes, for whoever wants to read what is there: the rest is waited for."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Condition

READ_BYTES = 2**20
"""Less is not worth the reader's waking up, unless nothing more comes."""


class ReadAbortedError(Exception):
    """The file will not come any more. Never leaves :mod:`pragmaspec.images`."""


class GrowingFile:
    """``file`` on its way: one thread tells how much of it stands there, another one reads that.

    ``total_bytes``: how long it will be, None when nobody knows.
    """

    def __init__(self, file: Path, total_bytes: int | None) -> None:
        self.file = file
        self.total_bytes = total_bytes
        self._changed = Condition()
        self._so_far = 0
        self._whole = False
        self._given_up = False

    def came(self, so_far: int) -> None:
        """The first ``so_far`` bytes of the file stand there and stay as they are."""
        with self._changed:
            self._so_far = so_far
            self._changed.notify()

    def end(self) -> None:
        """Nothing more comes: what is there is all of it."""
        with self._changed:
            self._whole = True
            self._changed.notify()

    def give_up(self) -> None:
        """Whoever reads stops."""
        with self._changed:
            self._given_up = True
            self._changed.notify()

    def wait(self) -> None:
        """Until all is there. Raises GivenUpError."""
        with self._changed:
            self._changed.wait_for(lambda: self._given_up or self._whole)
            if self._given_up:
                raise ReadAbortedError

    def pieces(self, counted: Callable[[int, int], None]) -> Iterator[bytes]:
        """The file from its beginning to its end. Once nothing more comes, ``counted`` is told bytes read, and in all.

        Raises GivenUpError, and OSError when it cannot be read.
        """
        with self.file.open("rb", buffering=0) as stream:
            at = 0
            while (end := self._wait(at)) > at:
                piece = os.pread(stream.fileno(), min(end - at, READ_BYTES), at)
                if not piece:
                    raise ReadAbortedError
                at += len(piece)
                yield piece
                if self._whole:
                    counted(at, self._so_far)

    def _wait(self, at: int) -> int:
        """How far the file may be read, after there is something worth reading, or nothing more comes."""
        with self._changed:
            self._changed.wait_for(lambda: self._given_up or self._whole or self._so_far - at >= READ_BYTES)
            if self._given_up:
                raise ReadAbortedError
            return self._so_far
