"""A file that is still being written, readable up to what is there; readers wait for the rest."""

import os
from collections.abc import Iterator
from pathlib import Path
from threading import Condition

from pragmaspec.images.store.blobs import ProgressCallback

READ_BYTES = 2**20
"""A reader is not woken for less, unless it is the end of the file."""


class ReadAbortedError(Exception):
    """The file will not be completed. Never leaves :mod:`pragmaspec.images`."""


class GrowingFile:
    """A ``file`` that one thread writes while another reads it. ``total_bytes``: its final length, None if unknown."""

    def __init__(self, file: Path, total_bytes: int | None) -> None:
        self.file = file
        self.total_bytes = total_bytes
        self._changed = Condition()
        self._length = 0
        self._finished = False
        self._aborted = False

    def advance(self, so_far: int) -> None:
        """Announce that the first ``so_far`` bytes are final."""
        with self._changed:
            self._length = so_far
            self._changed.notify()

    def finish(self) -> None:
        """Announce that the file is complete."""
        with self._changed:
            self._finished = True
            self._changed.notify()

    def abort(self) -> None:
        """Abort readers."""
        with self._changed:
            self._aborted = True
            self._changed.notify()

    def wait(self) -> None:
        """Wait until the file is complete. Raises ReadAbortedError."""
        with self._changed:
            self._changed.wait_for(lambda: self._aborted or self._finished)
            if self._aborted:
                raise ReadAbortedError

    def chunks(self, progress: ProgressCallback) -> Iterator[bytes]:
        """Yield the file from beginning to end. ``progress`` is reported once the file is complete.

        Raises ReadAbortedError, and OSError if the file cannot be read.
        """
        with self.file.open("rb", buffering=0) as stream:
            at = 0
            while (end := self._wait_for_data(at)) > at:
                chunk = os.pread(stream.fileno(), min(end - at, READ_BYTES), at)
                if not chunk:
                    raise ReadAbortedError
                at += len(chunk)
                yield chunk
                if self._finished:
                    progress(at, self._length)

    def _wait_for_data(self, at: int) -> int:
        """Wait for enough data behind ``at``, or for the end; return the length so far."""
        with self._changed:
            self._changed.wait_for(lambda: self._aborted or self._finished or self._length - at >= READ_BYTES)
            if self._aborted:
                raise ReadAbortedError
            return self._length
