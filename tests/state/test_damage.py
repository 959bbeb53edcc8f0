"""Damaged files: truncated at every byte, any bit flipped, replaced, mixed up."""

import pytest

from pragmaspec.errors import StateUnreadableError
from pragmaspec.state_model import Record
from tests.state.faulty_runs import BOOTS, MEMORY, STATE, Promises, first_run, second_run
from tests.state.local_store import LocalStore
from tests.state.memory_disk import MemoryDisk
from tests.state.samples import LINEAGE, node


@pytest.fixture(scope="module")
def files():
    """A state with a snapshot, a journal of an interrupted run, and backups."""
    disk = MemoryDisk()
    store = LocalStore(STATE, disk=disk, machine_directory=MEMORY)
    first_run(store, Promises())
    second_run(store, Promises())
    return disk.now()


def _read(files, changed=None, gone=()):
    changed = changed or {}
    disk = MemoryDisk({path: changed.get(path, content) for path, content in files.items() if path not in gone})
    return LocalStore(STATE, disk=disk, machine_directory=MEMORY).read()


def test_a_truncated_snapshot_is_refused_and_never_taken_for_an_absent_one(files):
    path = STATE / "state.json"
    for length in range(len(files[path])):
        with pytest.raises(StateUnreadableError) as caught:
            _read(files, {path: files[path][:length]})
        assert caught.value.exit_status == 6
        summary = caught.value.problems[0].summary
        assert (
            summary == "The state file is empty"
            if not length
            else summary in {"The state file is cut off", "The state is damaged"}
        )


def test_every_flipped_bit_of_a_snapshot_is_refused(files):
    path = STATE / "state.json"
    for position in range(len(files[path])):
        flipped = bytearray(files[path])
        flipped[position] ^= 1 << position % 8
        with pytest.raises(StateUnreadableError):
            _read(files, {path: bytes(flipped)})


def test_a_truncated_journal_keeps_the_lines_before_the_cut(files):
    path = STATE / "journal.1.jsonl"
    whole = _read(files).records
    known = []
    for length in range(len(files[path].rstrip(b"\0")) + 1):
        records = _read(files, {path: files[path][:length]}).records
        if records not in known:
            known.append(records)
    assert records == whole
    assert len(known) > 3


@pytest.mark.parametrize("name", ["high-water"])
def test_a_truncated_or_changed_rollback_guard_is_refused(files, name):
    path = MEMORY / LINEAGE / name
    for position in range(len(files[path])):
        flipped = bytearray(files[path])
        flipped[position] ^= 1 << position % 8
        for wrong in (files[path][:position], bytes(flipped)):
            with pytest.raises(StateUnreadableError, match=r"The rollback guard is damaged.*--accept-rollback"):
                _read(files, {path: wrong})


def test_a_truncated_or_changed_spill_is_refused_or_harmless(files):
    disk = MemoryDisk(files)
    store = LocalStore(STATE, disk=disk, machine_directory=MEMORY)
    expected = _with_spill(disk, store)
    spill = next(path for path in disk.now() if path.name.startswith("spill."))
    data = disk.now()[spill]
    refused = 0
    for position in range(len(data)):
        flipped = bytearray(data)
        flipped[position] ^= 1 << position % 8
        for wrong in (data[:position], bytes(flipped)):
            try:
                assert _read(disk.now(), {spill: wrong}).records == expected
            except StateUnreadableError:
                refused += 1
    assert refused > len(data)


def _with_spill(disk, store):
    """Let the journal fail after the intents, so that the outcome is spilled."""
    with store.session("apply") as session:
        session.intend([BOOTS[3]])

        def before(call, path):
            if call == "fdatasync":
                raise OSError(5, "Input/output error")

        disk.before = before
        session.outcome(BOOTS[3], Record(resource=node(3)))
        with pytest.raises(Exception, match="cannot be written"):
            session.flush()
        disk.before = lambda call, path: None
    records = store.read().records
    assert {record.status for record in records if record.address == BOOTS[3].address} == {"ready"}
    return records


def test_files_of_two_states_cannot_be_mixed(files):
    other = MemoryDisk()
    theirs = LocalStore(STATE, disk=other, machine_directory=MEMORY)
    first_run(theirs, Promises())
    second_run(theirs, Promises())
    journal = STATE / "journal.1.jsonl"
    with pytest.raises(StateUnreadableError, match="does not follow"):
        _read(files, {journal: other.now()[journal]})
    with pytest.raises(StateUnreadableError, match="The state file is missing"):
        _read(files, gone=[STATE / "state.json"])
