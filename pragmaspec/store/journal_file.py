"""A journal on disk: appended to in one write and one sync a batch, with room set aside so that outcomes always fit."""

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from pragmaspec.store.durable import sync_directory, unwritable
from pragmaspec.store.entry import Entry
from pragmaspec.store.journal import Tail, encode_batch

_FIRST_BYTES = 64 * 1024
_OUTCOME_BYTES = 4 * 1024
"""Room for the outcomes (bound, then done or failed) of one intent."""


class JournalFile:
    """An open journal. After a failed write nothing more can be written: how much arrived is not known."""

    def __init__(self, path: Path, tail: Tail) -> None:
        self._path = path
        self._tail = tail
        self._offset = 0
        self._size = 0
        self._broken = False
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        self._descriptor = os.open(path, flags, 0o600)
        try:
            self._reserve(_FIRST_BYTES)
            os.fsync(self._descriptor)
            sync_directory(path.parent)
        except OSError:
            self.close()
            raise
        self.syncs = 0
        """How many times the journal has been synced."""

    @property
    def tail(self) -> Tail:
        """The last line written."""
        return self._tail

    def append(self, entries: Sequence[Entry], outcomes_to_come: int) -> None:
        """Write ``entries`` and sync. Room for ``outcomes_to_come`` outcomes is set aside before.

        Raises PragmaspecError when that is not possible; a failed sync is never tried again on the same file, because the
        kernel reports lost pages only once.
        """
        if self._broken:
            raise unwritable(self._path, "an earlier write failed")
        text, tail = encode_batch(entries, self._tail, datetime.now(UTC).isoformat(timespec="milliseconds"))
        try:
            self._reserve(self._offset + len(text) + outcomes_to_come * _OUTCOME_BYTES)
            _write_all(self._descriptor, text, self._offset)
            os.fdatasync(self._descriptor)
        except OSError as error:
            self._broken = True
            raise unwritable(self._path, error) from error
        self.syncs += 1
        self._offset += len(text)
        self._tail = tail

    def close(self) -> None:
        """Close the file; it stays until the next snapshot."""
        os.close(self._descriptor)

    def _reserve(self, size: int) -> None:
        if size > self._size:
            grown = max(size, 2 * self._size)
            os.posix_fallocate(self._descriptor, 0, grown)
            self._size = grown


def _write_all(descriptor: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, offset)
        view, offset = view[written:], offset + written
