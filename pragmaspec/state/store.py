"""The recorded state of one stack in any backend."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pragmaspec.errors import PragmaspecError, StateUnreadableError
from pragmaspec.paths import state_home
from pragmaspec.state.backends.base import Backend, LockedBackend, RawState
from pragmaspec.state.backends.local.disk import OS_DISK, StateDisk
from pragmaspec.state.load import LoadedState, decode_raw_state, new_lineage, with_spills
from pragmaspec.state.lock_wait import LockWait, WaitListener
from pragmaspec.state.rollback_guard import LastSeen, RollbackGuard
from pragmaspec.state.session import StoreSession
from pragmaspec.state.spill import Spills
from pragmaspec.state.writer import StateWriter
from pragmaspec.state_model import State

if TYPE_CHECKING:
    from pragmaspec.guest.keys import StackKey
    from pragmaspec.state.encryption import StateCipher

_READ_ATTEMPTS = 5


class LockedStore(NamedTuple):
    """A store whose lock this process holds: the locked backend, the state that was read, and a writer."""

    backend: LockedBackend
    loaded: LoadedState
    writer: StateWriter


class Store:
    """The state of one stack in ``backend``.

    ``encrypt``: encrypt what is written; None keeps the state as it is. ``accept_rollback``: accept a state that is older than
    one this machine has seen, or no longer encrypted. ``machine_directory`` holds what this machine remembers of stacks, by
    default ``pragmaspec`` in the user's state directory, on ``disk``. ``stack_key(lineage, create)`` returns the key of a stack.
    """

    def __init__(
        self,
        backend: Backend,
        *,
        encrypt: bool | None = None,
        accept_rollback: bool = False,
        machine_directory: Path | None = None,
        disk: StateDisk = OS_DISK,
        stack_key: "Callable[[str, bool], StackKey] | None" = None,
    ) -> None:
        self.backend = backend
        self._encrypt = encrypt
        self._accept_rollback = accept_rollback
        self._machine_directory = machine_directory
        self._disk = disk
        self._stack_key = stack_key
        self._wait = LockWait()

    def wait_for_locks(self, limit_s: float, listener: WaitListener) -> None:
        """Wait up to ``limit_s`` for a lock that another run holds, and report to ``listener`` meanwhile."""
        self._wait = LockWait(limit_s, listener)

    def exists(self) -> bool:
        """True if a state has been recorded. Raises StateUnreachableError."""
        return self.backend.read().snapshot is not None

    def read(self) -> State:
        """Return the recorded state, including the journal since the snapshot.

        Takes no lock and creates nothing. An absent state is an empty one with a new lineage. Raises StateUnreadableError for a
        state that is unreadable, or older than one this machine has seen.
        """
        return self.load().state

    def load(self, lineage: str | None = None) -> LoadedState:
        """Read and parse the current state; an empty one with ``lineage`` (default: a new one) if it is absent."""
        raw = self.backend.read()
        for _ in range(_READ_ATTEMPTS):
            try:
                return self._decode(raw, lineage)
            except StateUnreadableError:
                before, raw = raw, self.backend.read()
                if raw == before:
                    raise
                # Another run wrote during the read.
        return self._decode(raw, lineage)

    def create(self, lineage: str | None = None) -> State:
        """Record an empty state with ``lineage`` (default: a new one). Raises PragmaspecError if there is a state already."""
        with self.open_locked("create a state", lineage or new_lineage()) as (_, loaded, writer):
            if loaded.exists:
                detail = f"{self.backend.title} contains one. Nothing was changed."
                raise PragmaspecError("There is a state already", detail)
            writer.write_snapshot(loaded.state)
            return loaded.state

    @contextmanager
    def session(self, command: str, lineage: str | None = None) -> Iterator[StoreSession]:
        """Hold the lock and yield a session that records a run.

        ``command`` is shown to others meanwhile; ``lineage`` is that of a new state. Raises StateLockedError and
        StateUnreadableError. Apart from the lock, nothing is written before the first intent.
        """
        with self.open_locked(command, lineage) as (_, loaded, writer):
            session = StoreSession(writer, loaded)
            try:
                yield session
            finally:
                session.close()

    @contextmanager
    def open_locked(self, command: str, lineage: str | None = None) -> Iterator[LockedStore]:
        """Hold the lock and yield the parts from which a session is made, for replacing the state as a whole."""
        with self.locked(command) as backend:
            loaded = self._decode(backend.read(), lineage)
            if self._accept_rollback and loaded.exists:
                self._guard(loaded.state.lineage).accept(_last_seen(loaded))
            yield LockedStore(backend, loaded, self.writer(backend, loaded))

    @contextmanager
    def locked(self, command: str) -> Iterator[LockedBackend]:
        """Hold the lock and yield the backend without reading it. Raises StateLockedError."""
        backend = self._wait.take(self.backend, command)
        try:
            yield backend
        finally:
            backend.release()

    def writer(self, backend: LockedBackend, loaded: LoadedState) -> StateWriter:
        """Return a writer of what follows ``loaded`` in ``backend``."""
        lineage = loaded.state.lineage
        encrypt = loaded.encrypted if self._encrypt is None else self._encrypt
        return StateWriter(
            backend,
            loaded,
            cipher=self.cipher(lineage, create=not loaded.state.records) if encrypt else None,
            spills=self._spills(lineage),
            guard=self._guard(lineage),
        )

    def cipher(self, lineage: str, *, create: bool = False) -> "StateCipher":
        """Return the cipher of the stack ``lineage``. Raises AccessError if its key is missing, unless ``create``."""
        from pragmaspec.state.encryption import StateCipher  # noqa: PLC0415 - needed only for encrypted states
        from pragmaspec.state.stack_key import load_stack_key  # noqa: PLC0415

        return StateCipher((self._stack_key or load_stack_key)(lineage, create), lineage)

    def last_seen(self, lineage: str) -> LastSeen | None:
        """Return the newest state of ``lineage`` that this machine has seen.

        Raises StateUnreadableError for a damaged record of it, unless rollbacks are accepted.
        """
        try:
            return self._guard(lineage).seen()
        except StateUnreadableError:
            if not self._accept_rollback:
                raise
            return None

    def with_local_spills(self, loaded: LoadedState) -> LoadedState:
        """Return ``loaded`` with the spills of an interrupted run on this machine. Raises StateUnreadableError."""
        return with_spills(loaded, self._spills(loaded.state.lineage).read(), self.cipher)

    def remove(self) -> None:
        """Remove the state, its journals and versions, and what this machine remembers of it."""
        lineage = self.load().state.lineage
        self.backend.remove()
        spills = self._spills(lineage)
        for spill in spills.read():
            spills.remove(spill.path)
        self._guard(lineage).forget()

    def _decode(self, raw: RawState, lineage: str | None) -> LoadedState:
        loaded = decode_raw_state(raw, lineage, self.cipher)
        if not loaded.exists:
            return loaded
        if not self._accept_rollback:
            guard = self._guard(loaded.state.lineage)
            guard.check(_last_seen(loaded), raw.name, require_encrypted=self._encrypt is True)
            guard.record(_last_seen(loaded))
        loaded = self.with_local_spills(loaded)
        # Turning encryption on or off requires a new snapshot before the first journal line.
        changes = self._encrypt is not None and self._encrypt != loaded.encrypted
        return loaded._replace(unfinished=True) if changes else loaded

    def _guard(self, lineage: str) -> RollbackGuard:
        return RollbackGuard(self._disk, self._stack_directory(lineage))

    def _spills(self, lineage: str) -> Spills:
        local = self.backend.spill_directory
        return Spills(self._disk, local or self._stack_directory(lineage), write_ahead=local is None)

    def _stack_directory(self, lineage: str) -> Path:
        return (self._machine_directory or state_home() / "pragmaspec") / lineage


def _last_seen(loaded: LoadedState) -> LastSeen:
    return LastSeen(serial=loaded.serial, encrypted=loaded.encrypted)
