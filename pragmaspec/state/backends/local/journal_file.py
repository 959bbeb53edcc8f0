"""A journal on disk: one write and one sync per batch, with space reserved so that outcomes always fit."""

from contextlib import suppress
from pathlib import Path

from pragmaspec.failpoints import reach
from pragmaspec.state.backends.local.disk import StateDisk
from pragmaspec.state.backends.local.durable import unwritable_error, write_all

_INITIAL_BYTES = 64 * 1024


class JournalFile:
    """A new journal at ``path``. The constructor raises OSError.

    A failed write leaves an unknown part of its lines in the file, so it is the last one.
    """

    def __init__(self, disk: StateDisk, path: Path) -> None:
        self._disk = disk
        self._path = path
        self._offset = 0
        self._size = 0
        self._broken = False
        self._handle = disk.create(path)
        try:
            reach("store.journal.create")
            self._reserve(_INITIAL_BYTES)
            disk.fsync(self._handle)
            disk.fsync_directory(path.parent)
        except OSError:
            self.close()
            raise

    def append(self, lines: bytes, reserve_bytes: int) -> None:
        """Write ``lines`` and sync, with ``reserve_bytes`` reserved after them.

        Raises StateUnwritableError. A failed sync is never repeated on the same file, because the kernel reports lost pages
        only once.
        """
        if self._broken:
            raise unwritable_error(self._path, "an earlier write failed")
        self._broken = True  # until the write has succeeded
        try:
            self._reserve(self._offset + len(lines) + reserve_bytes)
            reach("store.journal.write")
            write_all(self._disk, self._handle, lines, self._offset)
            reach("store.journal.sync")
            self._disk.fdatasync(self._handle)
            reach("store.journal.synced")
        except OSError as error:
            raise unwritable_error(self._path, error) from error
        self._broken = False
        self._offset += len(lines)

    def close(self) -> None:
        """Close the file; it remains until the next snapshot."""
        with suppress(OSError):  # every acknowledged line was synced
            self._disk.close(self._handle)

    def _reserve(self, size: int) -> None:
        if size > self._size:
            grown = max(size, 2 * self._size)
            self._disk.fallocate(self._handle, grown)
            self._size = grown
