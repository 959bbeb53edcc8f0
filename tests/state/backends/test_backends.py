"""What every place for a state promises: one suite over all of them, against real servers on this machine."""

from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pragmaspec.errors import StateLockedError, StateLockLostError, StateUnwritableError, UsageError
from pragmaspec.site import SimulatedSite
from pragmaspec.state.backends.base import RawState
from pragmaspec.state.backends.local.backend import LocalBackend
from pragmaspec.state.store import Store
from pragmaspec.state_model import Record
from tests.state.backends.kinds import KINDS, running
from tests.state.backends.samples import holder, lines, snapshot
from tests.state.samples import LINEAGE, PATIENT, act, node

_numbers = count(1)


@pytest.fixture(scope="module", params=KINDS)
def kind(request, tmp_path_factory):
    with running(request.param, tmp_path_factory.mktemp(request.param)) as one:
        yield one


@pytest.fixture
def name():
    return f"stack-{next(_numbers)}"


@pytest.fixture
def ground(kind, name):
    return kind.ground(name)


def _journal(stored: RawState) -> bytes:
    """All lines that stand there; room that was set aside does not count."""
    return b"".join(text.data.rstrip(b"\0") for text in stored.journals)


def _begun(ground, *batches, lock_id="one"):
    """A state with serial 1 and these batches in its journal, as an interrupted run leaves it."""
    held = ground.lock(holder(lock_id))
    held.read()
    held.write_snapshot(snapshot(1), 1)
    held.begin_journal(1)
    for first, last in batches:
        held.append(lines(first, last), first, 4096)
    held.release()


def test_nothing_there_is_an_absent_state_and_reading_makes_nothing(kind, name, ground):
    found = ground.read()
    assert (found.snapshot, found.journals) == (None, ())
    assert ground.history() == ()
    assert kind.ground(name).read().snapshot is None


def test_what_is_written_is_read_by_everybody(kind, name, ground):
    held = ground.lock(holder("one"))
    assert held.read().snapshot is None
    held.write_snapshot(snapshot(0), 0)
    held.begin_journal(0)
    held.append(lines(1, 3), 1, 4096)
    held.append(lines(4), 4, 0)
    found = kind.ground(name).read()
    assert found.snapshot == snapshot(0)
    assert [text.serial for text in found.journals] == [0]
    assert _journal(found) == lines(1, 4)
    assert _journal(held.read()) == lines(1, 4)
    held.write_snapshot(snapshot(1, applied_seq=4), 1)
    held.release()
    found = kind.ground(name).read()
    assert (found.snapshot, found.journals) == (snapshot(1, applied_seq=4), ())


def test_a_run_after_an_interrupted_one_finds_all_of_it(kind, name, ground):
    _begun(ground, (1, 2), (3, 3))
    held = kind.ground(name).lock(holder("two"))
    assert _journal(held.read()) == lines(1, 3)
    held.write_snapshot(snapshot(2, applied_seq=3), 2)
    held.begin_journal(2)
    held.append(lines(4), 4, 4096)
    held.release()
    found = kind.ground(name).read()
    assert found.snapshot == snapshot(2, applied_seq=3)
    assert [(text.serial, text.data.rstrip(b"\0")) for text in found.journals] == [(2, lines(4))]


def test_the_title_names_the_place(kind, name, ground):
    assert name in ground.title
    assert ground.read().name.startswith(ground.title[:5])


def test_one_holds_the_lock_and_the_other_is_told_who(kind, name, ground):
    held = ground.lock(holder("one", "apply --auto-approve"))
    with pytest.raises(StateLockedError) as refused:
        kind.ground(name).lock(holder("two"))
    words = str(refused.value)
    assert all(part in words for part in ("anna", "desk", "4711", "apply --auto-approve", "2026-01-02T03:04:05"))
    found = kind.ground(name).holder()
    assert found == holder("one", "apply --auto-approve")
    held.release()
    assert kind.ground(name).holder() is None
    again = kind.ground(name).lock(holder("two"))
    again.release()
    again.release()


def test_a_lock_is_not_in_the_way_of_reading(kind, name, ground):
    held = ground.lock(holder("one"))
    held.read()
    held.write_snapshot(snapshot(1), 1)
    assert kind.ground(name).read().snapshot == snapshot(1)
    held.release()


def test_a_run_that_writes_nothing_leaves_nothing(kind, name, ground):
    held = ground.lock(holder("one"))
    held.read()
    held.release()
    assert kind.ground(name).read().snapshot is None


def test_the_same_lines_twice_are_there_once(kind, name, ground):
    held = ground.lock(holder("one"))
    held.read()
    held.write_snapshot(snapshot(1), 1)
    held.begin_journal(1)
    held.append(lines(1, 2), 1, 4096)
    held.append(lines(1, 2), 1, 4096)
    held.append(lines(3), 3, 4096)
    held.release()
    assert _journal(kind.ground(name).read()) == lines(1, 3)


def test_versions_are_kept_or_said_not_to_be(kind, name, ground):
    held = ground.lock(holder("one"))
    held.read()
    for serial in range(1, 4):
        held.write_snapshot(snapshot(serial), serial)
    held.release()
    versions = kind.ground(name).history()
    assert versions[0].serial == 3
    assert versions[0].size_bytes == len(snapshot(3))
    assert versions[0].written.startswith("20")
    serials = [version.serial for version in versions]
    assert serials == sorted(serials, reverse=True)
    for serial in serials:
        assert ground.version(serial) == snapshot(serial)
    with pytest.raises(UsageError, match="77"):
        ground.version(77)


def test_removed_is_absent_and_can_begin_anew(kind, name, ground):
    _begun(ground, (1, 2))
    ground.remove()
    found = kind.ground(name).read()
    assert (found.snapshot, found.journals) == (None, ())
    ground.remove()
    _begun(kind.ground(name), (1, 1), lock_id="two")
    assert _journal(kind.ground(name).read()) == lines(1)


def test_a_lock_that_is_not_held_cannot_be_broken(kind, name, ground):
    held = ground.lock(holder("one"))
    with pytest.raises(UsageError):
        kind.ground(name).break_lock("another")
    held.release()


def test_whose_lock_was_broken_writes_nothing_more(kind, name, ground):
    if not kind.breakable:
        return
    first = ground.lock(holder("first"))
    first.read()
    first.write_snapshot(snapshot(1), 1)
    first.begin_journal(1)
    first.append(lines(1), 1, 0)
    kind.ground(name).break_lock("first")
    second = kind.ground(name).lock(holder("second"))
    assert _journal(second.read()) == lines(1)
    second.write_snapshot(snapshot(2), 2)
    for write in (
        lambda: first.append(lines(2, said="first"), 2, 0),
        lambda: first.write_snapshot(snapshot(2, applied_seq=9), 2),
        lambda: first.append(lines(2, said="first"), 2, 0),
    ):
        with pytest.raises(StateLockLostError, match="lock was"):
            write()
    first.release()
    assert kind.ground(name).holder() == holder("second")
    second.begin_journal(2)
    second.append(lines(2, said="second"), 2, 0)
    second.release()
    found = kind.ground(name).read()
    assert (found.snapshot, _journal(found)) == (snapshot(2), lines(2, said="second"))


def test_whoever_writes_first_after_a_broken_lock_is_the_only_one(kind, name, ground):
    """The second has read but not written when the first wakes up: one of them writes, the other is told."""
    if not kind.breakable:
        return
    _begun(ground, (1, 1))
    first = kind.ground(name).lock(holder("first"))
    first.read()
    first.write_snapshot(snapshot(2), 2)
    first.begin_journal(2)
    first.append(lines(2, said="first"), 2, 0)
    kind.ground(name).break_lock("first")
    second = kind.ground(name).lock(holder("second"))
    before = second.read()
    written = []
    for write in (
        lambda: first.append(lines(3, said="first"), 3, 0),
        lambda: second.write_snapshot(snapshot(3), 3),
        lambda: first.append(lines(4, said="first"), 4, 0),
    ):
        try:
            write()
            written.append(True)
        except StateUnwritableError:
            written.append(False)
    assert written in ([False, True, False], [True, False, True])
    found = kind.ground(name).read()
    if written[0]:
        assert _journal(found) == _journal(before) + lines(3, said="first") + lines(4, said="first")
    else:
        assert (found.snapshot, found.journals) == (snapshot(3), ())
    first.release()
    second.release()


@settings(parent=PATIENT, max_examples=15)
@given(st.lists(st.lists(st.integers(1, 5), max_size=4), min_size=1, max_size=3))
def test_any_runs_one_after_the_other_lose_nothing(kind, runs):
    """Each run writes a snapshot and some batches, and is then interrupted; the next one finds exactly that."""
    name, seq, expected = f"stack-{next(_numbers)}", 1, b""
    for serial, run in enumerate(runs, 1):
        held = kind.ground(name).lock(holder(f"run-{serial}"))
        assert _journal(held.read()) == expected
        held.write_snapshot(snapshot(serial, applied_seq=seq), serial)
        held.begin_journal(serial)
        expected = b""
        for size in run:
            batch = lines(seq, seq + size - 1)
            held.append(batch, seq, 4096)
            seq, expected = seq + size, expected + batch
        held.release()
        found = kind.ground(name).read()
        assert (found.snapshot, _journal(found)) == (snapshot(serial, applied_seq=seq - sum(run)), expected)


def _boot(store, index, *, checkpoint=True):
    action = act("boot", node(index))
    with store.session("apply", LINEAGE) as session:
        session.use_sites([SimulatedSite(name="lab")])
        session.intend([action])
        session.outcome(action, Record(resource=action.resource))
        session.flush()
        if checkpoint:
            session.checkpoint()
        return session.state


@pytest.mark.parametrize("encrypt", [False, True])
def test_a_stack_lives_there(kind, name, tmp_path, encrypt):
    """The whole store over the ground: sessions, an interrupted one, another machine, encryption, an older version."""
    here = Store(kind.ground(name), encrypt=encrypt, memory=tmp_path / "here")
    there = Store(kind.ground(name), memory=tmp_path / "there")
    assert _boot(here, 0).serial == 1
    state = _boot(here, 1, checkpoint=False)
    assert there.read() == state
    assert [record.address for record in _boot(there, 2).records] == [node(index).address for index in range(3)]
    if encrypt:
        assert node(0).name.encode() not in (kind.ground(name).read().snapshot or b"")
    kept = [version.serial for version in here.history()]
    assert kept[0] == here.read().serial
    if len(kept) > 1:
        assert here.restore(kept[1]).serial > kept[0]
        assert len(there.read().records) == 2
    here.remove()
    assert not there.exists()


def test_a_stack_moves_there_and_on(kind, name, tmp_path):
    local = Store(LocalBackend(tmp_path / "state"), memory=tmp_path / "memory")
    other = Store(kind.ground(name), memory=tmp_path / "memory")
    _boot(local, 0)
    assert local.copy_to(other) == other.read()
    state = _boot(other, 1)
    new = Store(LocalBackend(tmp_path / "new"), memory=tmp_path / "memory")
    assert other.copy_to(new).records == state.records
    assert len(new.read().records) == 2
