"""A local state directory: ``state.json``, its journal, backups and the lock. :mod:`pragmaspec.state.load` parses the texts."""

from pathlib import Path

from pragmaspec.errors import StateLockLostError, StateUnreadableError, UsageError
from pragmaspec.failpoints import reach
from pragmaspec.state.backends.base import Backend, JournalText, LockedBackend, LockHolder, RawState, StateVersion
from pragmaspec.state.backends.local.disk import OS_DISK, FileStamp, StateDisk
from pragmaspec.state.backends.local.durable import (
    make_private_directory,
    not_a_file,
    replace_file,
    sync_parents,
    unwritable_error,
)
from pragmaspec.state.backends.local.file_lock import FileLock, lock_holder
from pragmaspec.state.backends.local.journal_file import JournalFile
from pragmaspec.state.backends.local.state_directory import StateDirectory
from pragmaspec.state.snapshot import format_of, serial_of
from pragmaspec.text import capitalized
from pragmaspec.typing import override

BACKUPS_KEPT = 10

_READ_ATTEMPTS = 5


class LocalBackend(Backend):
    """The state in ``directory`` on ``disk``."""

    def __init__(self, directory: Path, disk: StateDisk = OS_DISK) -> None:
        self.files = StateDirectory(directory, disk)
        self._disk = disk

    @property
    @override
    def title(self) -> str:
        return str(self.files.path)

    @property
    @override
    def spill_directory(self) -> Path:
        return self.files.path

    @override
    def warnings(self) -> tuple[str, ...]:
        return self._disk.warnings(self.files.path)

    @override
    def read(self) -> RawState:
        self._check_directory()
        for _ in range(_READ_ATTEMPTS):
            before = self._disk.stamp(self.files.snapshot)
            try:
                raw = self._read_once()
            except FileNotFoundError:
                continue  # a journal was removed after the directory was listed
            except OSError as error:
                raise _unreadable_error(self.files.path, error) from error
            if self._disk.stamp(self.files.snapshot) == before:
                return raw
        raise StateUnreadableError(
            "The state keeps changing",
            f"Another run replaced {self.files.snapshot} during each attempt to read it. Try again when that run has ended.",
        )

    @override
    def lock(self, holder: LockHolder) -> LockedBackend:
        self._check_directory()
        try:
            make_private_directory(self.files.path, self._disk)
            return LockedLocalBackend(self, FileLock(self._disk, self.files.lock, holder))
        except OSError as error:
            raise unwritable_error(self.files.path, error) from error

    @override
    def holder(self) -> LockHolder | None:
        return lock_holder(self._disk, self.files.lock)

    @override
    def break_lock(self, lock_id: str) -> None:
        # The kernel frees the lock of a dead process, so a holder is alive and must be stopped.
        found = self.holder()
        if found is None:
            return
        raise UsageError(
            "The lock cannot be broken",
            f"Process {found.pid} of {found.user} on {found.host} holds the lock {lock_id} of {self.title} and is running: a "
            f"process that ends frees its lock. Stop it (`kill {found.pid}` on {found.host}) and repeat the command.",
        )

    @override
    def history(self) -> tuple[StateVersion, ...]:
        from pragmaspec.state.backends.local.history import list_versions  # noqa: PLC0415 - needed by few commands

        return list_versions(self.files)

    @override
    def version(self, serial: int) -> bytes:
        from pragmaspec.state.backends.local.history import read_version  # noqa: PLC0415 - needed by few commands

        return read_version(self.files, serial)

    @override
    def remove(self) -> None:
        from pragmaspec.state.backends.local.history import remove_state  # noqa: PLC0415 - needed by few commands

        remove_state(self.files)

    def _check_directory(self) -> None:
        try:
            reason = self._disk.unsafe_reason(self.files.path)
        except OSError as error:
            raise _unreadable_error(self.files.path, error) from error
        if reason:
            raise StateUnreadableError("The state directory is not safe", f"{capitalized(reason)}. Nothing was changed.")

    def _read_once(self) -> RawState:
        files, disk = self.files, self._disk
        journals = tuple(JournalText(serial, str(path), disk.read(path)) for serial, path in files.journals().items())
        try:
            snapshot: bytes | None = disk.read(files.snapshot)
        except (FileNotFoundError, NotADirectoryError):
            snapshot = None
        backups = () if snapshot is not None else tuple(files.backups())
        return RawState(str(files.snapshot), snapshot, journals, backups)


class LockedLocalBackend(LockedBackend):
    """A local state directory whose lock this process holds."""

    def __init__(self, backend: LocalBackend, lock: FileLock) -> None:
        self._backend = backend
        self._files = backend.files
        self._disk = backend.files.disk
        self._lock = lock
        self._journal: JournalFile | None = None
        self._stamp: FileStamp | None = None
        self._serial: int | None = None
        self._format: int | None = None
        self._last: tuple[int, bytes] | None = None

    @override
    def read(self) -> RawState:
        before = self._disk.stamp(self._files.snapshot)
        raw = self._backend.read()
        self._stamp = before
        if raw.snapshot is not None:
            self._serial, self._format = serial_of(raw.snapshot), format_of(raw.snapshot)
        return raw

    @override
    def begin_journal(self, serial: int) -> None:
        self._check_lock()
        self._close_journal()
        path = self._files.journal(serial)
        try:
            self._journal = JournalFile(self._disk, path)
        except OSError as error:
            raise unwritable_error(path, error) from error

    @override
    def append(self, lines: bytes, first_seq: int, reserve_bytes: int) -> None:
        self._check_lock()
        if self._journal is None:
            raise unwritable_error(self._files.path, f"no journal was begun for line {first_seq}")
        if self._last != (first_seq, lines):
            self._journal.append(lines, reserve_bytes)
            self._last = (first_seq, lines)

    @override
    def write_snapshot(self, text: bytes, serial: int) -> None:
        self._check_lock()
        files, disk = self._files, self._disk
        if disk.stamp(files.snapshot) != self._stamp:
            raise self._lost(f"{files.snapshot} was replaced during this run")
        self._close_journal()
        from pragmaspec.state.backends.local.history import back_up_current, back_up_written  # noqa: PLC0415 - for writers only

        try:
            reach("store.snapshot.write")
            if self._stamp is None:
                sync_parents(files.path, disk)  # a run that was killed may have just created them
            back_up_current(files, self._serial, self._format)
            replace_file(files.snapshot, text, disk=disk)
            self._stamp, self._serial, self._format = disk.stamp(files.snapshot), serial, format_of(text)
            reach("store.snapshot.keep")
            back_up_written(files, serial, BACKUPS_KEPT)
            for number, path in files.journals().items():
                if number < serial:
                    reach("store.journal.unlink")
                    disk.unlink(path)
            disk.fsync_directory(files.path)
            reach("store.snapshot.written")
        except OSError as error:
            raise unwritable_error(files.path, error) from error

    @override
    def release(self) -> None:
        self._close_journal()
        self._lock.release()

    def _close_journal(self) -> None:
        if self._journal is not None:
            self._journal.close()
            self._journal = None

    def _check_lock(self) -> None:
        if not self._lock.intact:
            raise self._lost(f"{self._files.lock} was removed or replaced, so another run may hold the lock")

    def _lost(self, reason: str) -> StateLockLostError:
        return StateLockLostError(
            "The lock on the state was lost",
            f"{reason}. Nothing more is written to {self._files.path}. Check what is there now, then repeat the command: "
            "objects that this run had begun are found by their intents and marks.",
        )


def _unreadable_error(directory: Path, error: OSError) -> StateUnreadableError:
    if wrong_type := not_a_file(error):
        detail = f"{wrong_type}. Move it away, and put the file itself in its place. Nothing was changed."
    else:
        detail = f"{error.filename or directory}: {error.strerror}. Nothing was changed."
    return StateUnreadableError("The state cannot be read", detail)
