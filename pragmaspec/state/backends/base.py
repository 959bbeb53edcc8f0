"""The state backend protocol: where the state of one stack is stored, and how it is locked.

Everything above these protocols is the same for every backend.
"""

from pathlib import Path
from typing import NamedTuple, Protocol

from pragmaspec.errors import StateLockLostError, StateUnwritableError
from pragmaspec.frozen import Frozen


class LockHolder(Frozen, frozen=True):
    """The process that holds a lock, for display. ``id`` is new for each lock taken; ``since`` is RFC 3339, UTC."""

    pid: int
    user: str
    host: str
    since: str
    command: str
    id: str = ""


class JournalText(NamedTuple):
    """The raw lines of a journal, with its display name and the serial of the snapshot that it extends."""

    serial: int
    name: str
    data: bytes


class RawState(NamedTuple):
    """The content of a backend at one moment. ``snapshot`` is the text of a ``state.json``, None if there is none.

    ``name`` identifies the snapshot in errors: a path, or a URL without credentials. ``backup_serials`` are the serials of
    the backups, listed only if the snapshot is missing: they prove that there was one.
    """

    name: str
    snapshot: bytes | None = None
    journals: tuple[JournalText, ...] = ()
    backup_serials: tuple[int, ...] = ()


class StateVersion(Frozen, frozen=True):
    """The current snapshot, or a backup of an earlier one. ``written`` is RFC 3339, UTC."""

    serial: int
    written: str
    size_bytes: int


class LockedBackend(Protocol):
    """A backend whose lock this process holds. Used from one thread.

    Once the lock is lost (broken, or its session has ended), every write must raise StateLockLostError and change nothing,
    even if the process was suspended for a long time in between.
    """

    def read(self) -> RawState:
        """Return the current content; later writes are checked against it.

        Raises StateUnreadableError and StateUnreachableError.
        """
        ...

    def begin_journal(self, serial: int) -> None:
        """Prepare for journal lines that extend snapshot ``serial``. Raises StateUnwritableError."""
        ...

    def append(self, lines: bytes, first_seq: int, reserve_bytes: int) -> None:
        """Append ``lines`` to the journal, durably; ``first_seq`` is the number of the first.

        ``reserve_bytes`` is the space that the outcomes of these lines may need: a backend that can reserve space does so, so
        that a full disk cannot stop them. Idempotent for the same lines. No call may follow a StateUnwritableError.
        """
        ...

    def write_snapshot(self, text: bytes, serial: int) -> None:
        """Replace the snapshot that was read or written last, atomically and durably, and remove the journals it covers.

        Must raise StateLockLostError if the current snapshot is another one. Raises StateUnwritableError; then the backend
        holds either the old snapshot with its journal or the new snapshot, never a mixture.
        """
        ...

    def release(self) -> None:
        """Release the lock. Must not raise: a lock that cannot be released is left to the next run."""
        ...


class Backend(Protocol):
    """Storage for the state of one stack. The constructor contacts nothing."""

    @property
    def title(self) -> str:
        """Display name: a path, or a URL without credentials."""
        ...

    @property
    def spill_directory(self) -> Path | None:
        """Directory for journal lines that could not be appended; None, the default, for a backend that is not local."""
        return None

    def warnings(self) -> tuple[str, ...]:
        """Risks of this storage, in full sentences. None of them stops a run."""
        return ()

    def read(self) -> RawState:
        """Return the current content. Takes no lock and creates nothing.

        Raises StateUnreadableError and StateUnreachableError.
        """
        ...

    def lock(self, holder: LockHolder) -> LockedBackend:
        """Take the lock without waiting. Raises StateLockedError, which names the holder, and StateUnreachableError."""
        ...

    def holder(self) -> LockHolder | None:
        """Return the holder of the lock, None if it is free."""
        ...

    def break_lock(self, lock_id: str) -> None:
        """Break the lock ``lock_id``: the next write of its holder then fails.

        Raises UsageError if the current lock is another one, or if the backend itself frees the lock of a dead process.
        """
        ...

    def history(self) -> tuple[StateVersion, ...]:
        """Return the current snapshot and the backups, newest first."""
        ...

    def version(self, serial: int) -> bytes:
        """Return the text of snapshot ``serial``. Raises UsageError if there is none."""
        ...

    def remove(self) -> None:
        """Remove snapshot, journals and backups. The lock must be free or held by this process."""
        ...


class WriteFence:
    """Stops the writes of one run to the backend ``title``: it keeps the error of the write that failed.

    The fence is open until :meth:`close`; after that every write raises the same error again.
    """

    def __init__(self, title: str) -> None:
        self._title = title
        self._error: StateUnwritableError | None = None

    @property
    def closed(self) -> bool:
        """True after :meth:`close`."""
        return self._error is not None

    def check(self) -> None:
        """Raise the error with which the fence was closed, if it was."""
        if self._error is not None:
            raise type(self._error).of(self._error.problems)

    def close(self, kind: type[StateUnwritableError], reason: str) -> StateUnwritableError:
        """Close the fence; return the error, of class ``kind``, that this write and every later one raises."""
        reason = reason.rstrip(".")
        if kind is StateLockLostError:
            self._error = kind(
                "The lock was taken from this run",
                f"{self._title}: {reason}. Nothing more is written or started. Calls in progress may still be carried out; "
                "the run that now holds the lock, or else the next one, finds their results by their intents and marks.",
            )
        else:
            self._error = kind(
                "The state cannot be written",
                f"{self._title}: {reason}. Nothing more is started, because it could not be recorded. When the server works "
                "again, repeat the command: it continues where this run stopped.",
            )
        return self._error
