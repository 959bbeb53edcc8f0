"""What a place must be able to do so that a stack's state can live there. Everything above is the same for every place.

Why a run writes no more to a place on the network: the error that ended its writing, with which every later attempt ends.
"""

from typing import NamedTuple, Protocol

from pragmaspec.errors import StateLockLostError, StateUnwritableError
from pragmaspec.frozen import Frozen


class LockHolder(Frozen, frozen=True):
    """Who holds a lock; for people. ``id`` is new for each lock taken, ``since`` is RFC 3339, UTC."""

    pid: int
    user: str
    host: str
    since: str
    command: str
    id: str = ""


class JournalText(NamedTuple):
    """A journal as it stands: the serial of the snapshot that it extends, its name for people, and its lines."""

    serial: int
    name: str
    data: bytes


class RawState(NamedTuple):
    """Everything that a ground holds at one moment. ``snapshot`` is the text of a ``state.json``; None: there is none.

    ``name`` is what errors call the snapshot: a path, or a URL without credentials. ``kept``, looked at only without a snapshot:
    the serials of older ones that the place keeps, which show that there was one.
    """

    name: str
    snapshot: bytes | None = None
    journals: tuple[JournalText, ...] = ()
    kept: tuple[int, ...] = ()


class StateVersion(Frozen, frozen=True):
    """A snapshot that was replaced, or the one that stands. ``written`` is RFC 3339, UTC."""

    serial: int
    written: str
    size_bytes: int


class LockedBackend(Protocol):
    """A ground whose lock this process holds. Used from one thread.

    Once the lock is lost (stolen, or its session has ended), every write must raise StateLockLostError and change nothing, also
    when the process was stopped for long in between.
    """

    def read(self) -> RawState:
        """What stands there now; later writes are checked against it. Raises StateUnreadableError, StateUnreachableError."""
        ...

    def begin_journal(self, serial: int) -> None:
        """Make ready for journal lines that extend snapshot ``serial``. Raises StateUnwritableError."""
        ...

    def append(self, lines: bytes, first_seq: int, room_bytes: int) -> None:
        """Add ``lines``, the first of which has number ``first_seq``, to the journal; durable when this returns.

        ``room_bytes``: how much the outcomes of what these lines begin may need; a place that can set room aside does so, so that
        they cannot fail for want of it. Idempotent for the same lines. After StateUnwritableError nothing more is appended.
        """
        ...

    def write_snapshot(self, text: bytes, serial: int) -> None:
        """Put ``text`` in the place of what was read or written last, atomically and durably, and drop the journals it covers.

        Must refuse (StateLockLostError) when what stands there is not what this process read or wrote last. Raises
        StateUnwritableError; then the old snapshot and its journal, or the new snapshot, stand: never anything in between.
        """
        ...

    def release(self) -> None:
        """Give the lock back. Must not raise: a lock that cannot be given back is the next run's business."""
        ...


class Backend(Protocol):
    """A place where one stack's state lives. Making one contacts nothing."""

    @property
    def title(self) -> str:
        """For people: a path, or a URL without credentials."""
        ...

    def read(self) -> RawState:
        """What stands there now. Needs no lock and creates nothing. Raises StateUnreadableError, StateUnreachableError."""
        ...

    def lock(self, holder: LockHolder) -> LockedBackend:
        """Take the lock, at once or not at all. Raises StateLockedError, which names who holds it, and StateUnreachableError."""
        ...

    def holder(self) -> LockHolder | None:
        """Who holds the lock now; None when nobody does."""
        ...

    def break_lock(self, lock_id: str) -> None:
        """Take the lock ``lock_id`` from its holder, whose next write then fails.

        Raises UsageError when another one is held, or when this place frees a dead holder's lock by itself.
        """
        ...

    def history(self) -> tuple[StateVersion, ...]:
        """The snapshots that are kept, newest first; the one that stands is the first."""
        ...

    def version(self, serial: int) -> bytes:
        """The text of a kept snapshot. Raises UsageError when there is none with that serial."""
        ...

    def remove(self) -> None:
        """Remove everything: snapshot, journals, history. The lock must be free or ours."""
        ...


class WriteFence:
    """The end of one run's writing at the place called ``title``. Nothing has ended until :meth:`because` is called."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._error: StateUnwritableError | None = None

    @property
    def closed(self) -> bool:
        """Whether nothing more is written."""
        return self._error is not None

    def check(self) -> None:
        """Raise the error that ended the writing, if one did."""
        if self._error is not None:
            raise type(self._error).of(self._error.problems)

    def close(self, kind: type[StateUnwritableError], why: str) -> StateUnwritableError:
        """The error, of ``kind``, that this write and every later one ends with."""
        why = why.rstrip(".")
        if kind is StateLockLostError:
            error: StateUnwritableError = kind(
                "The lock was taken from this run",
                f"{self._title}: {why}. Nothing more is written or started. What is under way may still be carried out; "
                "the run that holds the lock now, or else the next one, finds it by its intents and marks.",
            )
        else:
            error = kind(
                "The state cannot be written",
                f"{self._title}: {why}. Nothing more is started, because it could not be recorded. Run the command again "
                "when the server works: it continues where this one stopped.",
            )
        self._error = error
        return error
