"""A state in memory; every write may fail, be torn by a crash, or be the last one before it."""

from collections.abc import Iterator
from contextlib import contextmanager

from pragmaspec.errors import StateUnwritableError
from pragmaspec.state.backends.base import JournalText, LockedBackend, RawState
from pragmaspec.state.encryption import StateCipher
from pragmaspec.state.load import decode_raw_state
from pragmaspec.state.session import StoreSession
from pragmaspec.state.writer import StateWriter
from pragmaspec.state_model import State
from tests.simulation.faults import FaultInjector


class MemoryStore:
    """The state of one stack, and one session on it at a time: a crashed process no longer holds the lock."""

    def __init__(self, lineage: str, faults: FaultInjector) -> None:
        self._lineage = lineage
        self._faults = faults
        self.snapshot: bytes | None = None
        self.journals: dict[int, bytes] = {}
        self.versions: list[bytes] = []
        """All snapshots that were replaced."""

    def raw_state(self) -> RawState:
        texts = tuple(JournalText(serial, f"journal {serial}", data) for serial, data in sorted(self.journals.items()))
        return RawState(name="the state", snapshot=self.snapshot, journals=texts)

    def restore(self, version: bytes) -> None:
        """Restore an older state, as a ``git checkout`` with ``--accept-rollback`` does."""
        self.snapshot, self.journals = version, {}

    def state(self) -> State:
        return decode_raw_state(self.raw_state(), self._lineage, _no_key).state

    @contextmanager
    def session(self) -> Iterator[StoreSession]:
        loaded = decode_raw_state(self.raw_state(), self._lineage, _no_key)
        session = StoreSession(StateWriter(_LockedBackend(self, self._faults), loaded), loaded)
        try:
            yield session
        finally:
            session.close()


def _no_key(lineage: str) -> StateCipher:
    raise NotImplementedError(lineage)


class _LockedBackend(LockedBackend):
    def __init__(self, store: MemoryStore, faults: FaultInjector) -> None:
        self._store = store
        self._faults = faults
        self._serial = 0

    def read(self) -> RawState:
        return self._store.raw_state()

    def begin_journal(self, serial: int) -> None:
        self._check()
        self._serial = serial
        self._store.journals[serial] = b""

    def append(self, lines: bytes, first_seq: int, reserve_bytes: int) -> None:
        faults, before = self._faults, self._store.journals[self._serial]
        self._check()
        if not faults.calm and faults.random.random() < faults.crash_rate:
            # Unsynced lines may be present, absent or torn.
            cut = faults.random.choice((0, len(lines), faults.random.randrange(len(lines))))
            self._store.journals[self._serial] = before + lines[:cut]
            faults.crash()
        if faults.fault(0.1):
            self._store.journals[self._serial] = before + faults.random.choice((b"", lines))
            raise StateUnwritableError("the disk is full")
        self._store.journals[self._serial] = before + lines
        faults.maybe_crash()

    def write_snapshot(self, text: bytes, serial: int) -> None:
        self._check()
        if self._faults.fault(0.1):
            raise StateUnwritableError("the disk is full")
        if self._store.snapshot is not None:
            self._store.versions.append(self._store.snapshot)
        self._store.snapshot = text
        self._faults.maybe_crash()
        for number in [number for number in self._store.journals if number < serial]:
            del self._store.journals[number]
        self._faults.maybe_crash()

    def release(self) -> None:
        pass

    def _check(self) -> None:
        self._faults.check_alive()
        self._faults.maybe_crash()
