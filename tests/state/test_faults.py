"""A disk that fails at the n-th call, for all n, with every error, once or permanently."""

import errno
import os
from itertools import count

import pytest

from pragmaspec.errors import PragmaspecError, StateUnwritableError
from tests.state.faulty_runs import BOOTS, Promises, RecordingStore, all_runs, recovered
from tests.state.memory_disk import MemoryDisk
from tests.state.samples import LINEAGE


class Faults:
    """Fails the ``first`` call that changes something, and with ``lasting`` all later ones. ``hit`` is the first failed call."""

    def __init__(self, first: int, number: int, *, lasting: bool) -> None:
        self._left, self._number, self._lasting = first, number, lasting
        self.hit = ""

    def __call__(self, call, path):
        self._left -= 1
        if self._left == 0 or (self._left < 0 and self._lasting):
            self.hit = self.hit or f"{call} of {path}"
            raise OSError(self._number, os.strerror(self._number), str(path))


@pytest.mark.parametrize("lasting", [False, True])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
def test_no_failing_call_loses_what_was_promised(number, lasting):
    for first in count(1):
        promises = Promises()
        faults = Faults(first, number, lasting=lasting)
        disk = MemoryDisk(before=faults)
        all_runs(RecordingStore(disk, promises), promises)
        if not faults.hit:
            break
        # After a single failure the power is cut as well; the three errors differ only in their messages.
        for image in disk.images() if number == errno.EIO and not lasting else [disk.now()]:
            state, store = recovered(MemoryDisk(image))
            assert promises.held_by(state.records), f"call {first}, {faults.hit}"
            with store.session("apply", LINEAGE) as session:
                session.intend([BOOTS[3]])
                session.checkpoint()
            assert store.read().record(BOOTS[3].address), f"call {first}, {faults.hit}: the next run continues"
    assert first > 40


@pytest.mark.parametrize("call", ["pwrite", "fdatasync"])
def test_after_a_journal_failure_no_intent_is_accepted_and_outcomes_are_spilled(call):
    """The journal fails permanently, everything else works: nothing acknowledged is lost."""
    broken = False

    def before(what, path):
        if broken and what == call and path.name.startswith("journal."):
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))

    disk = MemoryDisk(before=before)
    store = RecordingStore(disk, Promises())
    many = [BOOTS[0], BOOTS[1]]
    with store.session("apply", LINEAGE) as session:
        session.intend(many)
        session.bound(many[0], (("uuid", "1"),))
        broken = True
        with pytest.raises(StateUnwritableError, match="The state cannot be written"):
            session.intend([BOOTS[2]])
        assert session.record(BOOTS[2].address) is None, "its call was not sent"
        session.bound(many[1], (("uuid", "2"),))
    names = [path.name for path in disk.now()]
    assert [name for name in names if name.startswith("spill.")]
    state, after = recovered(MemoryDisk(disk.now()))
    assert {record.address: record.outputs for record in state.records} == {
        many[0].address: (("uuid", "1"),),
        many[1].address: (("uuid", "2"),),
    }
    with after.session("apply") as session:
        session.checkpoint()
    assert after.read().records == state.records
    assert not [name for name in after.files.disk.listdir(store.directory) if name.startswith(("spill.", "journal."))]


def test_a_failed_sync_is_not_repeated_on_the_same_file():
    """The disk of these tests raises an error if a sync is repeated."""
    disk = MemoryDisk()
    store = RecordingStore(disk, Promises())
    with store.session("apply", LINEAGE) as session:
        session.intend(BOOTS[:1])
        disk.before = Faults(2, errno.EIO, lasting=False)
        for _ in range(3):
            session.bound(BOOTS[0], (("uuid", "1"),))
            with pytest.raises(PragmaspecError):
                session.flush()
    assert recovered(disk)[0].records[0].outputs == (("uuid", "1"),)


def test_backups_are_copies_on_a_file_system_without_hard_links():
    def before(call, path):
        if call == "link":
            raise OSError(errno.EPERM, os.strerror(errno.EPERM), str(path))

    disk = MemoryDisk(before=before)
    promises = Promises()
    store = RecordingStore(disk, promises)
    all_runs(store, promises)
    assert recovered(disk)[0].records == promises.points[-1]
    assert [version.serial for version in store.backend.history()] == [3, 2, 1, 0]
    assert store.backend.version(3) == disk.read(store.file)
