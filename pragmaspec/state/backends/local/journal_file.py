"""A journal on disk: appended to in one write and one sync a batch, with room set aside so that outcomes always fit."""

from contextlib import suppress
from pathlib import Path

from pragmaspec.failpoints import reach
from pragmaspec.state.backends.local.disk import Disk
from pragmaspec.state.backends.local.durable import unwritable_error, write_all

_FIRST_BYTES = 64 * 1024


class JournalFile:
    """A new journal. After a failed write nothing more can be written: how much arrived is not known. Raises OSError."""

    def __init__(self, disk: Disk, path: Path) -> None:
        self._disk = disk
        self._path = path
        self._offset = 0
        self._size = 0
        self._broken = False
        self._handle = disk.create(path)
        try:
            reach("store.journal.create")
            self._reserve(_FIRST_BYTES)
            disk.fsync(self._handle)
            disk.fsync_folder(path.parent)
        except OSError:
            self.close()
            raise

    def append(self, lines: bytes, room_bytes: int) -> None:
        """Write ``lines`` and sync, with ``room_bytes`` set aside after them.

        Raises StateUnwritableError when that is not possible; a failed sync is never tried again on the same file, because the
        kernel reports lost pages only once.
        """
        if self._broken:
            raise unwritable_error(self._path, "an earlier write failed")
        self._broken = True  # until everything has gone well
        try:
            self._reserve(self._offset + len(lines) + room_bytes)
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
        """Close the file; it stays until the next snapshot."""
        with suppress(OSError):  # everything that counts was synced
            self._disk.close(self._handle)

    def _reserve(self, size: int) -> None:
        if size > self._size:
            grown = max(size, 2 * self._size)
            self._disk.fallocate(self._handle, grown)
            self._size = grown
