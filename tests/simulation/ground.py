"""A place for the state in memory, where every write may fail, be torn by a crash, or be the last thing that was done."""

from collections.abc import Iterator
from contextlib import contextmanager

from pragmaspec.errors import StateUnwritableError
from pragmaspec.state.backends.base import JournalText, RawState
from pragmaspec.state.encryption import StateCipher
from pragmaspec.state.load import decode_raw_state
from pragmaspec.state.session import StoreSession
from pragmaspec.state.writer import StateWriter
from pragmaspec.state_model import State
from tests.simulation.chance import Chance


class MemoryStore:
    """The state of one stack, and sessions on it; one at a time, for whoever crashed no longer holds the lock."""

    def __init__(self, lineage: str, chance: Chance) -> None:
        self._lineage = lineage
        self._chance = chance
        self.snapshot: bytes | None = None
        self.journals: dict[int, bytes] = {}
        self.versions: list[bytes] = []
        """Every snapshot that was replaced."""

    def stored(self) -> RawState:
        texts = tuple(JournalText(serial, f"journal {serial}", data) for serial, data in sorted(self.journals.items()))
        return RawState(name="the state", snapshot=self.snapshot, journals=texts)

    def put_back(self, version: bytes) -> None:
        """Somebody takes an older state for the right one, as with ``git checkout``, and says that this is meant."""
        self.snapshot, self.journals = version, {}

    def state(self) -> State:
        return decode_raw_state(self.stored(), self._lineage, _no_key).ledger.state

    @contextmanager
    def session(self) -> Iterator[StoreSession]:
        loaded = decode_raw_state(self.stored(), self._lineage, _no_key)
        session = StoreSession(StateWriter(_Held(self, self._chance), loaded), loaded)
        try:
            yield session
        finally:
            session.close()


def _no_key(lineage: str) -> StateCipher:
    raise NotImplementedError(lineage)


class _Held:
    def __init__(self, store: MemoryStore, chance: Chance) -> None:
        self._store = store
        self._chance = chance
        self._serial = 0

    def read(self) -> RawState:
        return self._store.stored()

    def begin_journal(self, serial: int) -> None:
        self._before()
        self._serial = serial
        self._store.journals[serial] = b""

    def append(self, lines: bytes, first_seq: int, room_bytes: int) -> None:
        chance, before = self._chance, self._store.journals[self._serial]
        self._before()
        if not chance.calm and chance.dice.random() < chance.crash_rate:
            # What was written and not synced may be there, not be there, or be torn.
            cut = chance.dice.choice((0, len(lines), chance.dice.randrange(len(lines))))
            self._store.journals[self._serial] = before + lines[:cut]
            chance.crash()
        if chance.fault(0.1):
            self._store.journals[self._serial] = before + chance.dice.choice((b"", lines))
            raise StateUnwritableError("the disk is full")
        self._store.journals[self._serial] = before + lines
        chance.may_crash()

    def write_snapshot(self, text: bytes, serial: int) -> None:
        self._before()
        if self._chance.fault(0.1):
            raise StateUnwritableError("the disk is full")
        if self._store.snapshot is not None:
            self._store.versions.append(self._store.snapshot)
        self._store.snapshot = text
        self._chance.may_crash()
        for number in [number for number in self._store.journals if number < serial]:
            del self._store.journals[number]
        self._chance.may_crash()

    def release(self) -> None:
        pass

    def _before(self) -> None:
        self._chance.check_alive()
        self._chance.may_crash()
