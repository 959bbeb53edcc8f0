"""A store on a disk in memory that records its promises, and runs that use every operation of a store."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pragmaspec.errors import PragmaspecError, SiteError
from pragmaspec.site import SimulatedSite
from pragmaspec.state.backends.base import LockedBackend
from pragmaspec.state.journal_entries import JournalEntry, JournalReplay
from pragmaspec.state.load import LoadedState
from pragmaspec.state.session import StoreSession
from pragmaspec.state.writer import StateWriter
from pragmaspec.state_model import Record, State
from tests.state.local_store import LocalStore
from tests.state.memory_disk import MemoryDisk
from tests.state.samples import ALLOCATION, LINEAGE, act, node

STATE = Path("/home/state/hello")
MEMORY = Path("/home/memory")

ALLOCATE = act("allocate", ALLOCATION)
BOOTS = [act("boot", node(index)) for index in range(4)]

Records = tuple[Record, ...]


@dataclass
class Promises:
    """Every state there has been, one per entry, and the index of the last that a caller was promised to be durable."""

    points: list[Records] = field(default_factory=lambda: [()])
    kept: int = -1
    called: int = 0
    """Number of calls that were allowed to be sent."""

    def held_by(self, records: Records) -> bool:
        """True if ``records`` is a state that existed and nothing promised is missing in it."""
        return records in self.points[max(self.kept, 0) :]


class RecordingWriter(StateWriter):
    """A writer that records each entry, and what is durable."""

    def __init__(self, backend: LockedBackend, loaded: LoadedState, promises: Promises, **parts: object) -> None:
        super().__init__(backend, loaded, **parts)
        self._promises = promises
        self._model = JournalReplay(loaded.state)

    def append(self, entries: Sequence[JournalEntry], pending_outcomes: int) -> None:
        for entry in entries:
            self._model.apply(entry)
            self._promises.points.append(self._model.state.records)
        super().append(entries, pending_outcomes)
        self._promises.kept = len(self._promises.points) - 1

    def spill(self, entries: Sequence[JournalEntry]) -> None:
        for entry in entries:
            self._model.apply(entry)
            self._promises.points.append(self._model.state.records)
        super().spill(entries)


class RecordingStore(LocalStore):
    """A store at :data:`STATE` whose promises are recorded."""

    def __init__(self, disk: MemoryDisk, promises: Promises) -> None:
        super().__init__(STATE, disk=disk, machine_directory=MEMORY)
        self._promises = promises

    def writer(self, backend: LockedBackend, loaded: LoadedState) -> StateWriter:
        lineage = loaded.state.lineage
        parts = {"spills": self._spills(lineage), "guard": self._guard(lineage)}
        return RecordingWriter(backend, loaded, self._promises, **parts)


def recovered(disk: MemoryDisk) -> tuple[State, LocalStore]:
    """Return the state that the next command finds on ``disk``."""
    store = LocalStore(STATE, disk=disk, machine_directory=MEMORY)
    return store.load(LINEAGE).state, store


def first_run(store: LocalStore, promises: Promises) -> None:
    """A new stack: waves of intents, outcomes of every kind, a snapshot."""
    with store.session("apply", LINEAGE) as session:
        session.use_sites([SimulatedSite(name="lab")])
        _intend(session, promises, ALLOCATE)
        session.bound(ALLOCATE, (("uuid", "1"),))
        session.outcome(ALLOCATE, Record(resource=ALLOCATION))
        _intend(session, promises, *BOOTS[:2])
        session.outcome(BOOTS[0], Record(resource=node(0)))
        session.outcome(BOOTS[1], SiteError("no room"))
        session.flush()
        session.checkpoint()


def second_run(store: LocalStore, promises: Promises) -> None:
    """Continues, and is interrupted: its last outcome is not flushed."""
    with store.session("apply", LINEAGE) as session:
        clean = act("clean", node(0))
        _intend(session, promises, clean, BOOTS[1])
        session.outcome(clean, None)
        _intend(session, promises, BOOTS[2])
        session.retract(BOOTS[2])
        session.flush()
        session.outcome(BOOTS[1], Record(resource=node(1)))


def third_run(store: LocalStore, promises: Promises) -> None:
    """Merges what the second left, adds an action, and succeeds."""
    with store.session("apply", LINEAGE) as session:
        _intend(session, promises, BOOTS[3])
        session.outcome(BOOTS[3], Record(resource=node(3)))
        session.checkpoint()


def all_runs(store: LocalStore, promises: Promises) -> None:
    """All runs, each regardless of the outcome of the one before."""
    for run in (first_run, second_run, third_run):
        try:
            run(store, promises)
        except PragmaspecError:
            continue


def _intend(session: StoreSession, promises: Promises, *actions: object) -> None:
    session.intend(actions)
    promises.called += len(actions)
