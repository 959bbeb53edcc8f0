"""The recorded state of one stack, wherever it lives."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

from pragmaspec.errors import PragmaspecError, StateUnreadableError
from pragmaspec.paths import state_home
from pragmaspec.state.backends.base import Backend, LockedBackend, LockHolder, RawState, StateVersion
from pragmaspec.state.backends.local.disk import OS_DISK, Disk
from pragmaspec.state.load import LoadedState, decode_raw_state, new_lineage, with_spills
from pragmaspec.state.lock_wait import LockWait
from pragmaspec.state.rollback_guard import LastSeen, RollbackGuard
from pragmaspec.state.session import StoreSession
from pragmaspec.state.spill import Spills
from pragmaspec.state.writer import StateWriter
from pragmaspec.state_model import State

if TYPE_CHECKING:
    from pragmaspec.guest.keys import StackKey
    from pragmaspec.state.encryption import StateCipher

_READS = 5


@runtime_checkable
class LocalSpills(Protocol):
    """A ground on this machine, which keeps its own spills."""

    @property
    def spill_folder(self) -> Path:
        """Where they stand."""
        ...


@runtime_checkable
class WarnsOfRisks(Protocol):
    """A ground that can say what is not as safe as it should be."""

    def warnings(self) -> tuple[str, ...]:
        """In full sentences."""
        ...


class LockedStore(NamedTuple):
    """What is held while the lock is: the ground, what stood there, and what writes to it."""

    held: LockedBackend
    loaded: LoadedState
    writer: StateWriter


class Store:
    """The state of one stack at ``ground``.

    ``encrypt``: whether what is written is encrypted; None: as it was found. ``accept_rollback``: take a state that is older than
    one this machine has seen, or not encrypted any more. ``memory``: what this machine remembers of its stacks, by default
    ``pragmaspec`` in the user's state folder, on ``disk``. ``stack_key`` gives the key of a lineage, and makes it when told to.
    """

    def __init__(
        self,
        ground: Backend,
        *,
        encrypt: bool | None = None,
        accept_rollback: bool = False,
        memory: Path | None = None,
        disk: Disk = OS_DISK,
        stack_key: "Callable[[str, bool], StackKey] | None" = None,
    ) -> None:
        self.ground = ground
        self._encrypt = encrypt
        self._accept_rollback = accept_rollback
        self._memory = memory
        self._disk = disk
        self._stack_key = stack_key
        self._wait = LockWait()

    def wait_for_locks(self, limit_s: float, told: "Callable[[LockHolder | None, float], None]") -> None:
        """Wait at most ``limit_s`` for a lock that another run holds; ``told`` hears who that is, and how much time is left."""
        self._wait = LockWait(limit_s, told)

    def exists(self) -> bool:
        """Whether a state has been recorded here. Raises StateUnreachableError."""
        return self.ground.read().snapshot is not None

    def read(self) -> State:
        """The recorded state, with what the journal says since the snapshot.

        Needs no lock and creates nothing. An absent state is an empty one with a new lineage. Raises StateUnreadableError for
        one that is there and cannot be read, or that is older than one this machine has seen.
        """
        return self.load().ledger.state

    def load(self, lineage: str | None = None) -> LoadedState:
        """Snapshot and journal as they stand. ``lineage`` is used when there is neither."""
        stored = self.ground.read()
        for _ in range(_READS):
            try:
                return self._loaded(stored, lineage)
            except StateUnreadableError:
                before, stored = stored, self.ground.read()
                if stored == before:
                    raise
                # Another run was writing while we read.
        return self._loaded(stored, lineage)

    def create(self, lineage: str | None = None) -> State:
        """Record an empty state with ``lineage`` (default: a new one). Raises PragmaspecError when there is a state already."""
        with self.opened("create a state", lineage or new_lineage()) as (_, loaded, writer):
            if loaded.on_disk:
                raise PragmaspecError("There is a state already", f"{self.ground.title} holds one. Nothing was changed.")
            writer.snapshot(loaded.ledger.state)
            return loaded.ledger.state

    @contextmanager
    def session(self, command: str, lineage: str | None = None) -> Iterator[StoreSession]:
        """Hold the lock and record what is done, for the time of the ``with`` block.

        ``command`` is what others are shown meanwhile; ``lineage`` is used when there is no state yet. Raises StateLockedError
        and StateUnreadableError. Writes nothing before the first intent, except the lock.
        """
        with self.opened(command, lineage) as (_, loaded, writer):
            session = StoreSession(writer, loaded)
            try:
                yield session
            finally:
                session.close()

    @contextmanager
    def opened(self, command: str, lineage: str | None = None) -> Iterator[LockedStore]:
        """The ground with its lock held, below what a session offers: for what replaces a state as a whole."""
        with self.locked(command) as held:
            loaded = self._loaded(held.read(), lineage)
            if self._accept_rollback and loaded.on_disk:
                self._mark(loaded.ledger.state.lineage).accept(_mark_of(loaded))
            yield LockedStore(held, loaded, self.writer(held, loaded))

    @contextmanager
    def locked(self, command: str) -> Iterator[LockedBackend]:
        """The ground with its lock held, whatever stands there. Raises StateLockedError when it is not free in time."""
        held = self._wait.taken(self.ground, command)
        try:
            yield held
        finally:
            held.release()

    def writer(self, held: LockedBackend, loaded: LoadedState) -> StateWriter:
        """What writes to ``held`` what comes after ``loaded``."""
        lineage = loaded.ledger.state.lineage
        encrypt = loaded.sealed if self._encrypt is None else self._encrypt
        return StateWriter(
            held,
            loaded,
            seal=self.seal(lineage, create=not loaded.ledger.state.records) if encrypt else None,
            spills=self._spills(lineage),
            mark=self._mark(lineage),
        )

    def seal(self, lineage: str, *, create: bool = False) -> "StateCipher":
        """What encrypts and opens the state of ``lineage``. Raises AccessError when its key is not here, unless ``create``."""
        from pragmaspec.state.encryption import StateCipher  # noqa: PLC0415 - only for who encrypts
        from pragmaspec.state.stack_key import load_stack_key  # noqa: PLC0415

        return StateCipher((self._stack_key or load_stack_key)(lineage, create), lineage)

    def seen(self, lineage: str) -> LastSeen | None:
        """The newest state of ``lineage`` that this machine has seen. Raises StateUnreadableError, unless rollbacks are taken."""
        try:
            return self._mark(lineage).seen()
        except StateUnreadableError:
            if not self._accept_rollback:
                raise
            return None

    def with_own_spills(self, loaded: LoadedState) -> LoadedState:
        """``loaded`` with what an interrupted run could write only to this machine. Raises StateUnreadableError."""
        return with_spills(loaded, self._spills(loaded.ledger.state.lineage).found(), self.seal)

    def lock_holder(self) -> LockHolder | None:
        """Who holds the lock now; None when nobody does."""
        return self.ground.holder()

    def unlock(self, lock_id: str) -> None:
        """Take the lock ``lock_id`` from its holder, whose next write then fails. Raises UsageError where that cannot be."""
        self.ground.break_lock(lock_id)

    def history(self) -> tuple[StateVersion, ...]:
        """The snapshots that are kept, newest first; the one that stands is the first."""
        return self.ground.history()

    def warnings(self) -> tuple[str, ...]:
        """What is not as safe as it should be here, in full sentences; nothing is refused for it."""
        return self.ground.warnings() if isinstance(self.ground, WarnsOfRisks) else ()

    def pull(self) -> str:
        """The text of a ``state.json`` with everything recorded, in clear. Raises UsageError when nothing is."""
        from pragmaspec.state.transfer import pull  # noqa: PLC0415 - only for who asks

        return pull(self)

    def push(self, text: str) -> State:
        """Record what ``text``, which :meth:`pull` gave, says; the state that is recorded then.

        Raises StateUnreadableError for a text that is no state, UsageError for one of another stack or older than the recorded
        one. Who has edited the text takes its line ``sha256`` away.
        """
        from pragmaspec.state.transfer import push  # noqa: PLC0415 - only for who asks

        return push(self, text)

    def restore(self, serial: int) -> State:
        """Record what the kept snapshot ``serial`` says, also when what stands there cannot be read; under a new, higher serial.

        Raises UsageError when none is kept, or when an interrupted run went on from another one.
        """
        from pragmaspec.state.transfer import restore  # noqa: PLC0415 - only for who asks

        return restore(self, serial)

    def copy_to(self, other: "Store") -> State:
        """Record in ``other`` what is recorded here, under both locks, and read it back; the state that stands there then.

        This machine takes the state here for an old one from then on. Raises UsageError when ``other`` holds another stack, or
        a newer state of this one.
        """
        from pragmaspec.state.transfer import copy_state  # noqa: PLC0415 - only for who asks

        return copy_state(self, other)

    def remove(self) -> None:
        """Remove everything: snapshot, journals, history, and what this machine remembers of it."""
        lineage = self.load().ledger.state.lineage
        self.ground.remove()
        for spilled in self._spills(lineage).found():
            self._spills(lineage).drop(spilled.path)
        self._mark(lineage).forget()

    def _loaded(self, stored: RawState, lineage: str | None) -> LoadedState:
        loaded = decode_raw_state(stored, lineage, self.seal)
        if not loaded.on_disk:
            return loaded
        found = loaded.ledger.state.lineage
        mark = self._mark(found)
        if not self._accept_rollback:
            mark.check(_mark_of(loaded), stored.name, must_be_sealed=self._encrypt is True)
            mark.see(_mark_of(loaded))
        loaded = self.with_own_spills(loaded)
        # What is to be encrypted from now on, or no more, begins with a new snapshot.
        changes = self._encrypt is not None and self._encrypt != loaded.sealed
        return loaded._replace(unfinished=True) if changes else loaded

    def _mark(self, lineage: str) -> RollbackGuard:
        return RollbackGuard(self._disk, self._folder(lineage))

    def _spills(self, lineage: str) -> Spills:
        if isinstance(self.ground, LocalSpills):
            return Spills(self._disk, self.ground.spill_folder, beforehand=False)
        return Spills(self._disk, self._folder(lineage), beforehand=True)

    def _folder(self, lineage: str) -> Path:
        return (self._memory or state_home() / "pragmaspec") / lineage


def _mark_of(loaded: LoadedState) -> LastSeen:
    return LastSeen(serial=loaded.serial, sealed=loaded.sealed)
