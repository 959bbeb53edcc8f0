"""The contract of every state backend: one suite over all of them, against real servers on this machine."""

from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pragmaspec.errors import StateLockedError, StateLockLostError, StateUnwritableError, UsageError
from pragmaspec.site import SimulatedSite
from pragmaspec.state.backends.base import RawState
from pragmaspec.state.backends.local.backend import LocalBackend
from pragmaspec.state.store import Store
from pragmaspec.state.transfer import copy_state, restore
from pragmaspec.state_model import Record
from tests.state.backends.kinds import KINDS, running
from tests.state.backends.samples import holder, lines, snapshot
from tests.state.samples import LINEAGE, NO_DEADLINE, act, node

_numbers = count(1)


@pytest.fixture(scope="module", params=KINDS)
def kind(request, tmp_path_factory):
    with running(request.param, tmp_path_factory.mktemp(request.param)) as one:
        yield one


@pytest.fixture
def name():
    return f"stack-{next(_numbers)}"


@pytest.fixture
def backend(kind, name):
    return kind.backend(name)


def _journal(raw: RawState) -> bytes:
    """Return all lines, without reserved space."""
    return b"".join(text.data.rstrip(b"\0") for text in raw.journals)


def _begun(backend, *batches, lock_id="one"):
    """Write a state with serial 1 and these batches in its journal, as an interrupted run leaves it."""
    locked = backend.lock(holder(lock_id))
    locked.read()
    locked.write_snapshot(snapshot(1), 1)
    locked.begin_journal(1)
    for first, last in batches:
        locked.append(lines(first, last), first, 4096)
    locked.release()


def test_an_absent_state_is_empty_and_reading_creates_nothing(kind, name, backend):
    found = backend.read()
    assert (found.snapshot, found.journals) == (None, ())
    assert backend.history() == ()
    assert kind.backend(name).read().snapshot is None


def test_written_data_is_visible_to_other_processes(kind, name, backend):
    locked = backend.lock(holder("one"))
    assert locked.read().snapshot is None
    locked.write_snapshot(snapshot(0), 0)
    locked.begin_journal(0)
    locked.append(lines(1, 3), 1, 4096)
    locked.append(lines(4), 4, 0)
    found = kind.backend(name).read()
    assert found.snapshot == snapshot(0)
    assert [text.serial for text in found.journals] == [0]
    assert _journal(found) == lines(1, 4)
    assert _journal(locked.read()) == lines(1, 4)
    locked.write_snapshot(snapshot(1, applied_seq=4), 1)
    locked.release()
    found = kind.backend(name).read()
    assert (found.snapshot, found.journals) == (snapshot(1, applied_seq=4), ())


def test_a_run_finds_everything_an_interrupted_one_wrote(kind, name, backend):
    _begun(backend, (1, 2), (3, 3))
    locked = kind.backend(name).lock(holder("two"))
    assert _journal(locked.read()) == lines(1, 3)
    locked.write_snapshot(snapshot(2, applied_seq=3), 2)
    locked.begin_journal(2)
    locked.append(lines(4), 4, 4096)
    locked.release()
    found = kind.backend(name).read()
    assert found.snapshot == snapshot(2, applied_seq=3)
    assert [(text.serial, text.data.rstrip(b"\0")) for text in found.journals] == [(2, lines(4))]


def test_the_title_identifies_the_state(kind, name, backend):
    assert name in backend.title
    assert backend.read().name.startswith(backend.title[:5])


def test_a_locked_state_is_reported_with_its_holder(kind, name, backend):
    locked = backend.lock(holder("one", "apply --auto-approve"))
    with pytest.raises(StateLockedError) as caught:
        kind.backend(name).lock(holder("two"))
    text = str(caught.value)
    assert all(part in text for part in ("anna", "desk", "4711", "apply --auto-approve", "2026-01-02T03:04:05"))
    found = kind.backend(name).holder()
    assert found == holder("one", "apply --auto-approve")
    locked.release()
    assert kind.backend(name).holder() is None
    again = kind.backend(name).lock(holder("two"))
    again.release()
    again.release()


def test_a_locked_state_can_be_read(kind, name, backend):
    locked = backend.lock(holder("one"))
    locked.read()
    locked.write_snapshot(snapshot(1), 1)
    assert kind.backend(name).read().snapshot == snapshot(1)
    locked.release()


def test_a_run_without_writes_leaves_nothing(kind, name, backend):
    locked = backend.lock(holder("one"))
    locked.read()
    locked.release()
    assert kind.backend(name).read().snapshot is None


def test_appending_the_same_lines_twice_is_idempotent(kind, name, backend):
    locked = backend.lock(holder("one"))
    locked.read()
    locked.write_snapshot(snapshot(1), 1)
    locked.begin_journal(1)
    locked.append(lines(1, 2), 1, 4096)
    locked.append(lines(1, 2), 1, 4096)
    locked.append(lines(3), 3, 4096)
    locked.release()
    assert _journal(kind.backend(name).read()) == lines(1, 3)


def test_listed_versions_can_be_read_and_others_are_refused(kind, name, backend):
    locked = backend.lock(holder("one"))
    locked.read()
    for serial in range(1, 4):
        locked.write_snapshot(snapshot(serial), serial)
    locked.release()
    versions = kind.backend(name).history()
    assert versions[0].serial == 3
    assert versions[0].size_bytes == len(snapshot(3))
    assert versions[0].written.startswith("20")
    serials = [version.serial for version in versions]
    assert serials == sorted(serials, reverse=True)
    for serial in serials:
        assert backend.version(serial) == snapshot(serial)
    with pytest.raises(UsageError, match="77"):
        backend.version(77)


def test_a_removed_state_is_absent_and_can_be_recreated(kind, name, backend):
    _begun(backend, (1, 2))
    backend.remove()
    found = kind.backend(name).read()
    assert (found.snapshot, found.journals) == (None, ())
    backend.remove()
    _begun(kind.backend(name), (1, 1), lock_id="two")
    assert _journal(kind.backend(name).read()) == lines(1)


def test_a_lock_that_is_not_held_cannot_be_broken(kind, name, backend):
    locked = backend.lock(holder("one"))
    with pytest.raises(UsageError):
        kind.backend(name).break_lock("another")
    locked.release()


def test_after_its_lock_was_broken_a_run_cannot_write(kind, name, backend):
    if not kind.breakable:
        return
    first = backend.lock(holder("first"))
    first.read()
    first.write_snapshot(snapshot(1), 1)
    first.begin_journal(1)
    first.append(lines(1), 1, 0)
    kind.backend(name).break_lock("first")
    second = kind.backend(name).lock(holder("second"))
    assert _journal(second.read()) == lines(1)
    second.write_snapshot(snapshot(2), 2)
    for write in (
        lambda: first.append(lines(2, note="first"), 2, 0),
        lambda: first.write_snapshot(snapshot(2, applied_seq=9), 2),
        lambda: first.append(lines(2, note="first"), 2, 0),
    ):
        with pytest.raises(StateLockLostError, match="lock was"):
            write()
    first.release()
    assert kind.backend(name).holder() == holder("second")
    second.begin_journal(2)
    second.append(lines(2, note="second"), 2, 0)
    second.release()
    found = kind.backend(name).read()
    assert (found.snapshot, _journal(found)) == (snapshot(2), lines(2, note="second"))


def test_after_a_broken_lock_only_one_run_can_write(kind, name, backend):
    """The second run has read but not written when the first resumes: one of them writes, the other gets an error."""
    if not kind.breakable:
        return
    _begun(backend, (1, 1))
    first = kind.backend(name).lock(holder("first"))
    first.read()
    first.write_snapshot(snapshot(2), 2)
    first.begin_journal(2)
    first.append(lines(2, note="first"), 2, 0)
    kind.backend(name).break_lock("first")
    second = kind.backend(name).lock(holder("second"))
    before = second.read()
    written = []
    for write in (
        lambda: first.append(lines(3, note="first"), 3, 0),
        lambda: second.write_snapshot(snapshot(3), 3),
        lambda: first.append(lines(4, note="first"), 4, 0),
    ):
        try:
            write()
            written.append(True)
        except StateUnwritableError:
            written.append(False)
    assert written in ([False, True, False], [True, False, True])
    found = kind.backend(name).read()
    if written[0]:
        assert _journal(found) == _journal(before) + lines(3, note="first") + lines(4, note="first")
    else:
        assert (found.snapshot, found.journals) == (snapshot(3), ())
    first.release()
    second.release()


@settings(parent=NO_DEADLINE, max_examples=15)
@given(st.lists(st.lists(st.integers(1, 5), max_size=4), min_size=1, max_size=3))
def test_consecutive_interrupted_runs_lose_nothing(kind, runs):
    """Each run writes a snapshot and some batches, and is interrupted; the next one finds exactly those."""
    name, seq, expected = f"stack-{next(_numbers)}", 1, b""
    for serial, run in enumerate(runs, 1):
        locked = kind.backend(name).lock(holder(f"run-{serial}"))
        assert _journal(locked.read()) == expected
        locked.write_snapshot(snapshot(serial, applied_seq=seq), serial)
        locked.begin_journal(serial)
        expected = b""
        for size in run:
            batch = lines(seq, seq + size - 1)
            locked.append(batch, seq, 4096)
            seq, expected = seq + size, expected + batch
        locked.release()
        found = kind.backend(name).read()
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
def test_a_store_works_on_the_backend(kind, name, tmp_path, encrypt):
    """A store with all its features: an interrupted session, another machine, encryption, an older version."""
    here = Store(kind.backend(name), encrypt=encrypt, machine_directory=tmp_path / "here")
    there = Store(kind.backend(name), machine_directory=tmp_path / "there")
    assert _boot(here, 0).serial == 1
    state = _boot(here, 1, checkpoint=False)
    assert there.read() == state
    assert [record.address for record in _boot(there, 2).records] == [node(index).address for index in range(3)]
    if encrypt:
        assert node(0).name.encode() not in (kind.backend(name).read().snapshot or b"")
    kept = [version.serial for version in here.backend.history()]
    assert kept[0] == here.read().serial
    if len(kept) > 1:
        assert restore(here, kept[1]).serial > kept[0]
        assert len(there.read().records) == 2
    here.remove()
    assert not there.exists()


def test_a_state_can_be_copied_to_and_from_the_backend(kind, name, tmp_path):
    local = Store(LocalBackend(tmp_path / "state"), machine_directory=tmp_path / "machine")
    other = Store(kind.backend(name), machine_directory=tmp_path / "machine")
    _boot(local, 0)
    assert copy_state(local, other) == other.read()
    state = _boot(other, 1)
    new = Store(LocalBackend(tmp_path / "new"), machine_directory=tmp_path / "machine")
    assert copy_state(other, new).records == state.records
    assert len(new.read().records) == 2
