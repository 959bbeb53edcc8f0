import shutil
import stat
import subprocess
import sys
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pragmaspec.errors import PragmaspecError, SiteError, StateLockLostError, StateUnreadableError
from pragmaspec.site import SimulatedSite
from pragmaspec.state.backends.local.backend import BACKUPS_KEPT
from pragmaspec.state.backends.local.file_lock import this_process
from pragmaspec.state_model import Record, State
from tests.state.local_store import LocalStore
from tests.state.samples import ALLOCATION, LINEAGE, NO_DEADLINE, act, node

BOOTS = [act("boot", node(index)) for index in range(3)]


@pytest.fixture
def store(tmp_path):
    return LocalStore(tmp_path / "state" / "hello")


def _boot(store, *indices, checkpoint=True):
    with store.session("apply") as session:
        actions = [BOOTS[index] for index in indices]
        session.use_sites([SimulatedSite(name="lab")])
        session.intend(actions)
        for action in actions:
            session.outcome(action, Record(resource=action.resource))
        session.flush()
        if checkpoint:
            session.checkpoint()
        return session.state


def test_an_absent_state_is_empty_and_reading_creates_nothing(store, tmp_path):
    state = store.read()
    assert (state.records, state.serial) == ((), 0)
    assert len(state.lineage) == 36
    assert list(tmp_path.iterdir()) == []
    assert not store.exists()


def test_a_state_is_created_once(store):
    state = store.create(LINEAGE)
    assert store.read() == state == State(lineage=LINEAGE)
    with pytest.raises(PragmaspecError, match="There is a state already"):
        store.create()
    assert LocalStore(store.directory.with_name("other")).create().lineage != LINEAGE


def test_a_session_is_recorded(store):
    state = _boot(store, 0, 1)
    assert store.read() == state
    assert state.serial == 1
    assert [record.address for record in state.records] == [action.address for action in BOOTS[:2]]
    assert state.sites == (SimulatedSite(name="lab"),)


def test_an_idle_session_writes_nothing(store):
    _boot(store, 0)
    before = store.file.read_bytes()
    with store.session("apply") as session:
        session.flush()
        session.checkpoint()
        assert session.syncs == 0
    assert store.file.read_bytes() == before
    assert sorted(path.name for path in store.directory.iterdir()) == [".lock", "backups", "state.json"]


def test_the_first_session_records_the_lineage_it_was_given(store):
    with store.session("apply", lineage=LINEAGE) as session:
        assert session.state.lineage == LINEAGE
        assert not store.exists()
        session.intend(BOOTS[:1])
        assert store.exists()
    assert store.read().lineage == LINEAGE


def test_intents_are_durable_before_the_call_and_outcomes_after_the_flush(store):
    with store.session("apply") as session:
        session.intend(BOOTS)
        assert {record.status for record in store.read().records} == {"pending"}
        session.bound(BOOTS[0], (("uuid", "u"),))
        session.outcome(BOOTS[1], Record(resource=BOOTS[1].resource))
        session.outcome(BOOTS[2], SiteError("no room"))
        assert {record.status for record in store.read().records} == {"pending"}, "nothing is visible before it is durable"
        session.flush()
        assert session.syncs == 2, "one for the intents of a wave, one for its outcomes"
        records = {record.address: record for record in store.read().records}
        assert records[BOOTS[0].address].outputs == (("uuid", "u"),)
        assert records[BOOTS[1].address].status == "ready"
        assert records[BOOTS[2].address].problem == "no room"


def test_the_next_session_continues_an_interrupted_one(store):
    _boot(store, 0, checkpoint=False)
    with store.session("apply") as session:
        session.intend([BOOTS[1]])
    assert {record.address: record.status for record in store.read().records} == {
        BOOTS[0].address: "ready",
        BOOTS[1].address: "pending",
    }
    state = _boot(store, 1, 2)
    assert {record.status for record in state.records} == {"ready"}
    assert store.read() == state


def test_a_checkpoint_merges_the_journal(store):
    _boot(store, 0, checkpoint=False)
    before = store.read()
    with store.session("apply") as session:
        session.checkpoint()
    after = store.read()
    assert after.records == before.records
    assert after.serial == before.serial + 1


def test_removed_and_retracted_actions_leave_no_record(store):
    _boot(store, 0)
    clean = act("clean", node(0))
    with store.session("apply") as session:
        session.intend([clean, BOOTS[1]])
        session.outcome(clean, None)
        session.retract(BOOTS[1])
        session.checkpoint()
    assert store.read().records == ()
    assert store.read().sites == (), "a site without records is removed"


def test_actions_without_a_call_need_no_intent(store):
    _boot(store, 0)
    changed = Record(resource=node(0, keys="other"))
    with store.session("apply") as session:
        session.outcome(act("record", changed.resource), changed)
        session.checkpoint()
    assert [record.resource for record in store.read().records] == [changed.resource]


def test_files_are_private(store):
    store.directory.mkdir(parents=True, mode=0o755)
    with store.session("apply") as session:
        session.intend(BOOTS)
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in store.directory.iterdir()}
    assert modes == {".lock": 0o600, "state.json": 0o600, "journal.0.jsonl": 0o600, "backups": 0o700}
    assert stat.S_IMODE(store.directory.stat().st_mode) == 0o700


def test_the_last_ten_snapshots_are_kept(store):
    for round_ in range(BACKUPS_KEPT + 3):
        _boot(store, round_ % 3)
    names = {path.name for path in (store.directory / "backups").iterdir()}
    newest = store.read().serial
    assert names == {f"state.{serial}.json" for serial in range(newest - BACKUPS_KEPT + 1, newest + 1)}


def _leftover(store):
    """A state with a journal that its snapshot covers, as if it had not been removed."""
    with store.session("apply") as session:
        session.intend([BOOTS[0]])
        text = store.journal_path(0).read_bytes()
        session.checkpoint()
    store.journal_path(0).write_bytes(text)
    return text


def test_a_covered_journal_is_skipped_and_removed_by_the_next_write(store):
    _leftover(store)
    assert [record.status for record in store.read().records] == ["pending"]
    _boot(store, 0)
    assert not list(store.directory.glob("journal.*"))
    assert [record.status for record in store.read().records] == ["ready"]


def test_a_foreign_state_does_not_hide_an_unfinished_run(store, tmp_path):
    _boot(store, 0, checkpoint=False)
    other = LocalStore(tmp_path / "other")
    shutil.copytree(store.directory, other.directory)
    other.journal_path(0).unlink()
    theirs = _boot(other, 2)
    shutil.copy(other.file, store.file)
    assert theirs.serial == 1
    with pytest.raises(StateUnreadableError, match="replaced while a run was unfinished"):
        store.read()


def test_an_older_snapshot_beside_a_newer_journal_is_refused(store):
    store.create(LINEAGE)
    old = store.file.read_bytes()
    _boot(store, 0)
    _boot(store, 1, checkpoint=False)
    store.file.write_bytes(old)
    with pytest.raises(StateUnreadableError, match="put back to an older version"):
        store.read()


def test_a_missing_snapshot_is_not_an_absent_state(store):
    _boot(store, 0, checkpoint=False)
    store.file.unlink()
    with pytest.raises(StateUnreadableError, match="The state file is missing"):
        store.read()


def test_backups_prove_that_a_missing_snapshot_existed(store):
    _boot(store, 0)
    store.file.unlink()
    with pytest.raises(StateUnreadableError, match=r"state restore 1.* `stack: NAME`"):
        store.read()
    with pytest.raises(StateUnreadableError), store.session("apply"):
        pass
    assert sorted(path.name for path in store.file.parent.joinpath("backups").iterdir()) == ["state.0.json", "state.1.json"]


def test_the_journal_of_another_stack_is_refused(store, tmp_path):
    other = LocalStore(tmp_path / "other")
    other.create("00000000-0000-4000-8000-000000000000")
    store.create(LINEAGE)
    _boot(other, 0, checkpoint=False)
    shutil.copy(other.journal_path(0), store.journal_path(0))
    with pytest.raises(StateUnreadableError, match="belongs to another state"):
        store.read()


def test_a_snapshot_that_cannot_be_opened_is_unreadable_not_absent(store):
    store.file.mkdir(parents=True)
    with pytest.raises(StateUnreadableError, match="cannot be read"):
        store.read()


def test_a_directory_that_cannot_be_created_is_reported(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(PragmaspecError, match="The state cannot be written"):
        LocalStore(tmp_path / "file" / "hello").create()
    assert LocalStore(tmp_path / "file" / "hello").read().records == ()


def test_a_full_disk_stops_the_run_before_any_call(store, full_disk):
    with store.session("apply") as session:
        session.intend(BOOTS[:1])
        with full_disk(store.journal_path(0)), pytest.raises(PragmaspecError, match="The state cannot be written"):
            session.intend([act("boot", node(index)) for index in range(200)])
        with pytest.raises(PragmaspecError, match="an earlier write failed"):
            session.intend(BOOTS[1:])
    assert [record.address for record in store.read().records] == [BOOTS[0].address]


@pytest.fixture
def full_disk():
    """Limits all files to the size of ``path``: the kernel refuses larger ones, as on a full disk."""
    import resource
    from contextlib import contextmanager

    @contextmanager
    def limited(path):
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    return limited


def test_space_for_outcomes_is_reserved_before_the_disk_is_full(store, full_disk):
    many = [act("boot", node(index)) for index in range(200)]
    with store.session("apply") as session:
        session.intend(many)
        with full_disk(store.journal_path(0)):
            for action in many:
                session.bound(action, (("uuid", LINEAGE), ("disk", "x" * 200)))
                session.outcome(action, Record(resource=action.resource))
            session.flush()
    assert {record.status for record in store.read().records} == {"ready"}


def test_readers_never_see_a_partial_state(store):
    _boot(store, 0)
    stop = threading.Event()
    seen: list[int] = []

    def read():
        while not stop.is_set():
            seen.append(store.read().serial)

    reader = threading.Thread(target=read)
    reader.start()
    for round_ in range(30):
        _boot(store, round_ % 3)
    stop.set()
    reader.join()
    assert seen == sorted(seen)


KILLED = """
import os, signal, sys
from pathlib import Path
from pragmaspec.state_model import Record
from tests.state.local_store import LocalStore
from pragmaspec.state.backends.local.file_lock import this_process
from tests.state.samples import act, node
with LocalStore(Path(sys.argv[1])).session("apply") as session:
    index = 0
    while True:
        action = act("boot", node(index))
        session.intend([action])
        print("intended", index, flush=True)
        session.outcome(action, Record(resource=action.resource))
        session.flush()
        print("done", index, flush=True)
        if index % 7 == 6:
            session.checkpoint()
        index += 1
"""


@pytest.mark.parametrize("lines", [1, 2, 13, 14, 15, 40])
def test_a_killed_run_loses_nothing_acknowledged(store, lines):
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(store.directory)], stdout=subprocess.PIPE, text=True)
    with process:
        output = [process.stdout.readline().split() for _ in range(lines)]
        process.kill()
    state = store.read()
    status = {record.resource.index: record.status for record in state.records}
    for word, index in output:
        assert status[int(index)] == "ready" or (word == "intended" and ["done", index] not in output)
    with store.session("apply") as session:
        session.checkpoint()
    assert store.read().records == state.records


@settings(NO_DEADLINE, max_examples=40)
@given(cut=st.integers(0, 10_000), drop=st.booleans())
def test_a_truncated_journal_is_read_or_refused(tmp_path, cut, drop):
    store = LocalStore(tmp_path / "cut")
    shutil.rmtree(store.directory, ignore_errors=True)
    store.create(LINEAGE)
    with store.session("apply") as session:
        session.intend(BOOTS)
        session.outcome(BOOTS[0], Record(resource=BOOTS[0].resource))
        session.intend([act("allocate", ALLOCATION)])
    path = store.journal_path(0)
    data = path.read_bytes().rstrip(b"\0")
    keep = cut % (len(data) + 1)
    path.write_bytes(data[:keep] if drop else data[:keep] + b"\0" * (len(data) - keep))
    statuses = {record.address: record.status for record in store.read().records}
    assert statuses.keys() <= {ALLOCATION.address, *(action.address for action in BOOTS)}
    path.unlink()


def test_a_run_whose_lock_file_was_removed_cannot_write(store):
    """`git clean -fdx` during a run, then another run: only one of them may write."""
    with store.session("apply", LINEAGE) as session:
        session.intend(BOOTS[:1])
        shutil.rmtree(store.directory)
        with pytest.raises(StateLockLostError, match=r"\.lock was removed or replaced"):
            session.intend(BOOTS[1:])
        with LocalStore(store.directory).session("apply") as other:
            other.intend(BOOTS[2:])
            with pytest.raises(StateLockLostError):
                session.checkpoint()
            other.checkpoint()
    assert [record.address for record in store.read().records] == [BOOTS[2].address]


def test_a_state_replaced_during_a_run_is_not_overwritten(store):
    _boot(store, 0)
    with store.session("apply") as session:
        session.intend(BOOTS[1:2])
        text = store.file.read_bytes()
        store.file.unlink()
        store.file.write_bytes(text)
        with pytest.raises(StateLockLostError, match="was replaced during this run"):
            session.checkpoint()
    assert store.file.read_bytes() == text
    assert {record.status for record in store.read().records} == {"ready", "pending"}, "the journal still extends it"


def test_history_and_versions(store):
    for index in range(3):
        _boot(store, index)
    versions = store.backend.history()
    assert [version.serial for version in versions] == [3, 2, 1, 0]
    assert all(version.written.endswith("+00:00") for version in versions)
    assert versions[0].size_bytes == store.file.stat().st_size
    assert store.backend.version(3) == store.file.read_bytes()
    assert LocalStore(store.directory.with_name("none")).backend.history() == ()


def test_a_backup_of_an_older_format_is_kept_forever(store):
    _boot(store, 0)
    old = store.file.read_bytes().replace(b'"format": 2', b'"format": 1')
    store.file.write_bytes(old)
    locked = store.backend.lock(this_process("upgrade"))
    locked.read()
    locked.write_snapshot(b"new", 2)
    locked.release()
    assert (store.directory / "backups" / "state.1.format1.json").read_bytes() == old


def test_removing_a_state_keeps_other_files(store):
    _boot(store, 0)
    (store.directory / "notes").mkdir()
    store.remove()
    assert [path.name for path in store.directory.iterdir()] == ["notes"]
    assert not store.exists()


@pytest.mark.parametrize("name", ["state.json", "journal.0.jsonl", ".lock"])
@pytest.mark.parametrize("link", [True, False])
def test_a_directory_or_link_in_place_of_a_file_is_reported(tmp_path, name, link):
    store = LocalStore(tmp_path / "s", machine_directory=tmp_path / "m")
    store.create(LINEAGE)
    path = tmp_path / "s" / name
    path.unlink(missing_ok=True)
    path.symlink_to("elsewhere") if link else path.mkdir()
    kind = "a symbolic link, and links are not followed here" if link else "a directory and not a file"
    with pytest.raises(PragmaspecError, match=rf"{path} is {kind}\. Move it away") as caught, store.session("apply"):
        pass
    assert "Free some space" not in str(caught.value)
