from pathlib import Path

import pytest

from pragmaspec.errors import StateLockLostError, StateUnreadableError, StateUnwritableError
from pragmaspec.paths import state_home
from pragmaspec.state.store import Store
from pragmaspec.state_model import Record
from tests.state.memory_backend import MachineGoneError, MemoryBackend
from tests.state.memory_disk import MemoryDisk
from tests.state.samples import LINEAGE, act, node

BOOTS = [act("boot", node(index)) for index in range(3)]


@pytest.fixture
def backend():
    return MemoryBackend()


@pytest.fixture
def store(backend):
    return Store(backend)


def spills():
    return sorted(path.name for path in (state_home() / "pragmaspec" / LINEAGE).glob("spill.*"))


def statuses(store):
    return {record.resource.index: record.status for record in store.read().records}


def boot(store, index):
    with store.session("apply", LINEAGE) as session:
        session.intend([BOOTS[index]])
        session.outcome(BOOTS[index], Record(resource=BOOTS[index].resource))
        session.checkpoint()


def test_a_successful_run_leaves_no_spill(store):
    boot(store, 0)
    assert statuses(store) == {0: "ready"}
    assert spills() == []


def test_lines_are_spilled_before_they_are_sent(store, backend):
    seen = []
    backend.watch = lambda lines: seen.append(spills())
    with store.session("apply", LINEAGE) as session:
        session.intend(BOOTS[:1])
        session.outcome(BOOTS[0], Record(resource=node(0)))
        session.flush()
    assert seen == [["spill.1.jsonl"], ["spill.3.jsonl"]]


@pytest.mark.parametrize("word", ["lost", "unanswered"])
def test_the_next_run_merges_a_spilled_outcome(store, backend, word):
    with store.session("apply", LINEAGE) as session:
        session.intend(BOOTS[:2])
        session.outcome(BOOTS[0], Record(resource=node(0)))
        backend.faults = [word]
        with pytest.raises(StateUnwritableError):
            session.flush()
        session.outcome(BOOTS[1], Record(resource=node(1)))
        with pytest.raises(StateUnwritableError, match="an earlier write failed"):
            session.flush()
    assert len(spills()) == 2
    assert statuses(store) == {0: "ready", 1: "ready"}, "also for readers"
    boot(store, 2)
    assert statuses(store) == {0: "ready", 1: "ready", 2: "ready"}
    assert spills() == []


@pytest.mark.parametrize("word", ["lost", "unanswered"])
def test_an_intent_that_cannot_be_written_is_retracted(store, backend, word):
    with store.session("apply", LINEAGE) as session:
        session.intend(BOOTS[:1])
        backend.faults = [word]
        with pytest.raises(StateUnwritableError):
            session.intend(BOOTS[1:2])
        assert session.record(BOOTS[1].address) is None
    assert statuses(store) == {0: "pending"}
    boot(store, 2)
    assert statuses(store) == {0: "pending", 2: "ready"}


@pytest.mark.parametrize("word", ["killed", "killed-after"])
def test_a_machine_that_died_before_the_response_finds_its_lines(store, backend, word):
    backend.faults = [word]
    with pytest.raises(MachineGoneError), store.session("apply", LINEAGE) as session:
        session.intend(BOOTS[:1])
    assert statuses(store) == {0: "pending"}
    boot(store, 1)
    assert statuses(store) == {0: "pending", 1: "ready"}
    assert spills() == []


def test_the_spill_of_a_run_that_lost_its_lock_is_superseded(store, backend, monkeypatch, tmp_path):
    """The lock is broken and another machine continues; the lines that the first could not write are obsolete."""
    with store.session("apply", LINEAGE) as session:
        session.intend(BOOTS[:1])
        ours = backend.locked_by
        store.backend.break_lock(ours.id)
        with monkeypatch.context() as there:
            there.setenv("XDG_STATE_HOME", str(tmp_path / "there"))
            boot(Store(backend), 1)
        session.outcome(BOOTS[0], Record(resource=node(0)))
        with pytest.raises(StateLockLostError):
            session.flush()
    assert statuses(store) == {0: "pending", 1: "ready"}, "the state of the other machine is kept"
    boot(store, 2)
    assert statuses(store) == {0: "pending", 1: "ready", 2: "ready"}
    assert spills() == ["spill.3.old"], "kept, but no longer read"


def test_a_spill_of_a_later_state_is_not_merged_into_an_older_one(store, backend):
    boot(store, 0)
    old = backend.snapshot
    boot(store, 1)
    with store.session("apply") as session:
        backend.faults = ["lost"]
        with pytest.raises(StateUnwritableError):
            session.intend(BOOTS[2:])
    backend.snapshot, backend.journal = old, b""
    with pytest.raises(StateUnreadableError, match="rolled back"):
        store.read()
    assert {record.resource.index for record in Store(backend, accept_rollback=True).read().records} == {0}


def test_without_space_for_a_spill_the_original_error_is_raised():
    def before(call, path):
        if path.name.startswith(("journal.", ".spill.")) and armed:
            raise OSError(28, "No space left on device")

    armed = []
    disk = MemoryDisk(before=before)
    from tests.state.local_store import LocalStore

    store = LocalStore(Path("/state/hello"), disk=disk, machine_directory=Path("/memory"))
    with store.session("apply", LINEAGE) as session:
        session.intend(BOOTS[:1])
        armed.append(True)
        session.outcome(BOOTS[0], Record(resource=node(0)))
        with pytest.raises(StateUnwritableError, match="No space left"):
            session.flush()
    assert statuses(store) == {0: "pending"}, "recovered from its intent"
