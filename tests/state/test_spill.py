from pathlib import Path

import pytest

from pragmaspec.errors import StateLockLostError, StateUnreadableError, StateUnwritableError
from pragmaspec.paths import state_home
from pragmaspec.state.store import Store
from pragmaspec.state_model import Record
from tests.state.memory_disk import MemoryDisk
from tests.state.memory_ground import MachineGoneError, MemoryGround
from tests.state.samples import LINEAGE, act, node

BOOTS = [act("boot", node(index)) for index in range(3)]


@pytest.fixture
def ground():
    return MemoryGround()


@pytest.fixture
def store(ground):
    return Store(ground)


def spills():
    return sorted(path.name for path in (state_home() / "pragmaspec" / LINEAGE).glob("spill.*"))


def statuses(store):
    return {record.resource.index: record.status for record in store.read().records}


def boot(store, index):
    with store.session("apply", LINEAGE) as session:
        session.intend([BOOTS[index]])
        session.outcome(BOOTS[index], Record(resource=BOOTS[index].resource))
        session.checkpoint()


def test_nothing_stays_behind_after_a_run_that_went_well(store):
    boot(store, 0)
    assert statuses(store) == {0: "ready"}
    assert spills() == []


def test_the_lines_are_on_this_machine_before_they_leave_it(store, ground):
    seen = []
    ground.watch = lambda lines: seen.append(spills())
    with store.session("apply", LINEAGE) as session:
        session.intend(BOOTS[:1])
        session.outcome(BOOTS[0], Record(resource=node(0)))
        session.flush()
    assert seen == [["spill.1.jsonl"], ["spill.3.jsonl"]]


@pytest.mark.parametrize("word", ["lost", "unanswered"])
def test_an_outcome_that_could_not_be_written_is_taken_in_by_the_next_run(store, ground, word):
    with store.session("apply", LINEAGE) as session:
        session.intend(BOOTS[:2])
        session.outcome(BOOTS[0], Record(resource=node(0)))
        ground.trouble = [word]
        with pytest.raises(StateUnwritableError):
            session.flush()
        session.outcome(BOOTS[1], Record(resource=node(1)))
        with pytest.raises(StateUnwritableError, match="an earlier write failed"):
            session.flush()
    assert len(spills()) == 2
    assert statuses(store) == {0: "ready", 1: "ready"}, "also for who only looks"
    boot(store, 2)
    assert statuses(store) == {0: "ready", 1: "ready", 2: "ready"}
    assert spills() == []


@pytest.mark.parametrize("word", ["lost", "unanswered"])
def test_an_intent_that_could_not_be_written_was_never_begun(store, ground, word):
    with store.session("apply", LINEAGE) as session:
        session.intend(BOOTS[:1])
        ground.trouble = [word]
        with pytest.raises(StateUnwritableError):
            session.intend(BOOTS[1:2])
        assert session.record(BOOTS[1].address) is None
    assert statuses(store) == {0: "pending"}
    boot(store, 2)
    assert statuses(store) == {0: "pending", 2: "ready"}


@pytest.mark.parametrize("word", ["killed", "killed-after"])
def test_a_machine_that_died_before_the_answer_finds_its_lines(store, ground, word):
    ground.trouble = [word]
    with pytest.raises(MachineGoneError), store.session("apply", LINEAGE) as session:
        session.intend(BOOTS[:1])
    assert statuses(store) == {0: "pending"}
    boot(store, 1)
    assert statuses(store) == {0: "pending", 1: "ready"}
    assert spills() == []


def test_who_lost_the_lock_does_not_disturb_who_went_on(store, ground, monkeypatch, tmp_path):
    """The lock is stolen; the other machine goes on; what the first could not write is of no use any more."""
    with store.session("apply", LINEAGE) as session:
        session.intend(BOOTS[:1])
        ours = ground.locked_by
        store.unlock(ours.id)
        with monkeypatch.context() as there:
            there.setenv("XDG_STATE_HOME", str(tmp_path / "there"))
            boot(Store(ground), 1)
        session.outcome(BOOTS[0], Record(resource=node(0)))
        with pytest.raises(StateLockLostError):
            session.flush()
    assert statuses(store) == {0: "pending", 1: "ready"}, "what the other recorded stands"
    boot(store, 2)
    assert statuses(store) == {0: "pending", 1: "ready", 2: "ready"}
    assert spills() == ["spill.3.old"], "kept for people, read by nobody"


def test_a_spill_of_a_later_state_is_not_mixed_into_an_older_one(store, ground):
    boot(store, 0)
    old = ground.snapshot
    boot(store, 1)
    with store.session("apply") as session:
        ground.trouble = ["lost"]
        with pytest.raises(StateUnwritableError):
            session.intend(BOOTS[2:])
    ground.snapshot, ground.journal = old, b""
    with pytest.raises(StateUnreadableError, match="rolled back"):
        store.read()
    assert {record.resource.index for record in Store(ground, accept_rollback=True).read().records} == {0}


def test_without_room_for_a_spill_the_error_is_still_the_first_one():
    def before(call, path):
        if path.name.startswith(("journal.", ".spill.")) and armed:
            raise OSError(28, "No space left on device")

    armed = []
    disk = MemoryDisk(before=before)
    from pragmaspec.state.backends.local.backend import LocalStore

    store = LocalStore(Path("/state/hello"), disk=disk, memory=Path("/memory"))
    with store.session("apply", LINEAGE) as session:
        session.intend(BOOTS[:1])
        armed.append(True)
        session.outcome(BOOTS[0], Record(resource=node(0)))
        with pytest.raises(StateUnwritableError, match="No space left"):
            session.flush()
    assert statuses(store) == {0: "pending"}, "found again from its intent"
