"""State in a local folder: ``state.json``, the journal since, old snapshots, and the lock. What they say is `store.reading`'s."""

import re
from pathlib import Path

from pragmaspec.errors import StateLockLostError, StateUnreadableError, UsageError
from pragmaspec.failpoints import reach
from pragmaspec.state.backends.base import JournalText, LockHolder, RawState, StateVersion
from pragmaspec.state.backends.local.disk import OS_DISK, Disk, FileStamp
from pragmaspec.state.backends.local.durable import (
    make_private_directory,
    not_a_file,
    replace_file,
    sync_parents,
    unwritable_error,
)
from pragmaspec.state.backends.local.file_lock import FileLock, lock_holder
from pragmaspec.state.backends.local.journal_file import JournalFile
from pragmaspec.state.snapshot import format_of, serial_of
from pragmaspec.state.store import Store

BACKUPS_KEPT = 10

_JOURNAL = re.compile(r"journal\.(\d+)\.jsonl")
_BACKUP = re.compile(r"state\.(\d+)\.json")
_READS = 5


class LocalBackend:
    """The folder ``directory`` on ``disk``."""

    def __init__(self, directory: Path, disk: Disk = OS_DISK) -> None:
        self.directory = directory
        self.disk = disk

    @property
    def title(self) -> str:
        """The path."""
        return str(self.directory)

    @property
    def file(self) -> Path:
        """The snapshot."""
        return self.directory / "state.json"

    @property
    def lock_file(self) -> Path:
        """The flock target."""
        return self.directory / ".lock"

    @property
    def spill_folder(self) -> Path:
        """Beside the state."""
        return self.directory

    @property
    def backups(self) -> Path:
        """Where snapshots are kept."""
        return self.directory / "backups"

    def journal_path(self, serial: int) -> Path:
        """The journal that extends snapshot number ``serial``."""
        return self.directory / f"journal.{serial}.jsonl"

    def journals(self) -> dict[int, Path]:
        """Journals by the serial of the snapshot they extend. Raises OSError."""
        return _numbered(self.disk, self.directory, _JOURNAL)

    def warnings(self) -> tuple[str, ...]:
        """A file system on which locks and syncs may not mean what they say."""
        return self.disk.warnings(self.directory)

    def read(self) -> RawState:
        """Snapshot and journals of one moment."""
        self._check_folder()
        for _ in range(_READS):
            before = self.disk.stamp(self.file)
            try:
                stored = self._read()
            except FileNotFoundError:
                continue  # a journal was removed between listing and reading
            except OSError as error:
                raise _cannot_read(self.directory, error) from error
            if self.disk.stamp(self.file) == before:
                return stored
        raise StateUnreadableError(
            "The state keeps changing",
            f"{self.file} was replaced by another run each time it was read. Try again when that run has ended.",
        )

    def lock(self, holder: LockHolder) -> "LockedLocalBackend":
        """Make the folder when it is absent, and lock it."""
        self._check_folder()
        try:
            make_private_directory(self.directory, self.disk)
            return LockedLocalBackend(self, FileLock(self.disk, self.lock_file, holder))
        except OSError as error:
            raise unwritable_error(self.directory, error) from error

    def holder(self) -> LockHolder | None:
        """Whoever the kernel says holds it."""
        return lock_holder(self.disk, self.lock_file)

    def break_lock(self, lock_id: str) -> None:
        """Refused: the kernel frees a dead holder's lock by itself, and a living one must be stopped."""
        found = self.holder()
        if found is None:
            return
        raise UsageError(
            "This lock cannot be taken from its holder",
            f"Process {found.pid} of {found.user} on {found.host} holds {self.title} (lock {lock_id}) and is "
            f"alive: the lock of a dead process is free by itself. Stop it (`kill {found.pid}` on {found.host}) and run "
            "the command again.",
        )

    def history(self) -> tuple[StateVersion, ...]:
        """The files in ``backups`` and the one that stands."""
        from pragmaspec.state.backends.local.history import list_versions  # noqa: PLC0415 - only for who asks

        return list_versions(self)

    def version(self, serial: int) -> bytes:
        """From ``backups``."""
        from pragmaspec.state.backends.local.history import read_version  # noqa: PLC0415 - only for who asks

        return read_version(self, serial)

    def remove(self) -> None:
        """Remove the folder and everything in it that is ours; what is not stays, and the folder with it."""
        from pragmaspec.state.backends.local.history import remove_all  # noqa: PLC0415 - only for who asks

        remove_all(self)

    def kept(self) -> dict[int, Path]:
        """The files in ``backups`` by serial. Raises OSError."""
        return _numbered(self.disk, self.backups, _BACKUP)

    def _check_folder(self) -> None:
        try:
            why = self.disk.unsafe_reason(self.directory)
        except OSError as error:
            raise _cannot_read(self.directory, error) from error
        if why:
            raise StateUnreadableError("The state folder is not safe", f"{why[0].upper()}{why[1:]}. Nothing was changed.")

    def _read(self) -> RawState:
        journals = tuple(JournalText(serial, str(path), self.disk.read(path)) for serial, path in self.journals().items())
        try:
            snapshot: bytes | None = self.disk.read(self.file)
        except (FileNotFoundError, NotADirectoryError):
            snapshot = None
        kept = () if snapshot is not None else tuple(self.kept())
        return RawState(name=str(self.file), snapshot=snapshot, journals=journals, kept=kept)


class LockedLocalBackend:
    """The folder, with its lock held."""

    def __init__(self, ground: LocalBackend, lock: FileLock) -> None:
        self._ground = ground
        self._disk = ground.disk
        self._lock = lock
        self._journal: JournalFile | None = None
        self._stands: FileStamp | None = None
        self._serial: int | None = None
        self._format: int | None = None
        self._last: tuple[int, bytes] | None = None

    def read(self) -> RawState:
        """What stands there; it must stand there still when it is replaced."""
        before = self._disk.stamp(self._ground.file)
        stored = self._ground.read()
        self._stands = before
        if stored.snapshot is not None:
            self._serial, self._format = serial_of(stored.snapshot), format_of(stored.snapshot)
        return stored

    def begin_journal(self, serial: int) -> None:
        """A new file with room in it."""
        self._check_lock()
        self._close_journal()
        path = self._ground.journal_path(serial)
        try:
            self._journal = JournalFile(self._disk, path)
        except OSError as error:
            raise unwritable_error(path, error) from error

    def append(self, lines: bytes, first_seq: int, room_bytes: int) -> None:
        """One write, one sync."""
        self._check_lock()
        if self._journal is None:
            raise unwritable_error(self._ground.directory, f"no journal was begun for line {first_seq}")
        if self._last != (first_seq, lines):
            self._journal.append(lines, room_bytes)
            self._last = (first_seq, lines)

    def write_snapshot(self, text: bytes, serial: int) -> None:
        """Keep the old one as a backup, rename the new one into its place, keep that too, remove the journals of older ones."""
        self._check_lock()
        if self._disk.stamp(self._ground.file) != self._stands:
            raise _lost(self._ground, f"{self._ground.file} was replaced by something else meanwhile")
        self._close_journal()
        from pragmaspec.state.backends.local.history import back_up_current, back_up_written  # noqa: PLC0415 - only a run that writes

        try:
            reach("store.snapshot.write")
            if self._stands is None:
                sync_parents(self._ground.directory, self._disk)  # a run that was killed may have made them just now
            back_up_current(self._ground, self._serial, self._format)
            replace_file(self._ground.file, text, disk=self._disk)
            self._stands, self._serial, self._format = self._disk.stamp(self._ground.file), serial, format_of(text)
            reach("store.snapshot.keep")
            back_up_written(self._ground, serial, BACKUPS_KEPT)
            for number, path in self._ground.journals().items():
                if number < serial:
                    reach("store.journal.unlink")
                    self._disk.unlink(path)
            self._disk.fsync_folder(self._ground.directory)
            reach("store.snapshot.written")
        except OSError as error:
            raise unwritable_error(self._ground.directory, error) from error

    def release(self) -> None:
        """Close the journal and give the lock back."""
        self._close_journal()
        self._lock.release()

    def _close_journal(self) -> None:
        if self._journal is not None:
            self._journal.close()
            self._journal = None

    def _check_lock(self) -> None:
        if not self._lock.intact:
            raise _lost(self._ground, f"{self._ground.lock_file} was removed or replaced, so another run may hold the stack")


class LocalStore(Store):
    """The state of one stack in the folder ``directory``."""

    def __init__(self, directory: Path, *, disk: Disk = OS_DISK, memory: Path | None = None) -> None:
        self._local = LocalBackend(directory, disk)
        super().__init__(self._local, disk=disk, memory=memory)

    @property
    def directory(self) -> Path:
        """The folder."""
        return self._local.directory

    @property
    def file(self) -> Path:
        """The snapshot."""
        return self._local.file

    def exists(self) -> bool:
        """Whether a state has been recorded here."""
        return self._local.disk.stamp(self.file) is not None

    def journal_path(self, serial: int) -> Path:
        """The journal that extends snapshot number ``serial``."""
        return self._local.journal_path(serial)


def _numbered(disk: Disk, folder: Path, pattern: re.Pattern[str]) -> dict[int, Path]:
    try:
        names = disk.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    found = {int(match[1]): folder / name for name in names if (match := pattern.fullmatch(name))}
    return dict(sorted(found.items()))


def _cannot_read(folder: Path, error: OSError) -> StateUnreadableError:
    other = not_a_file(error)
    if other:
        detail = f"{other}. Move it away, and put the file itself in its place. Nothing was changed."
    else:
        detail = f"{error.filename or folder}: {error.strerror}. Nothing was changed."
    return StateUnreadableError("The state cannot be read", detail)


def _lost(ground: LocalBackend, what: str) -> StateLockLostError:
    return StateLockLostError(
        "The lock on the state was lost",
        f"{what}. Nothing more is written to {ground.title}. See what stands there, then run the command again: "
        "what this run had begun is found by its intents and marks.",
    )
