import json

import pytest

from pragmaspec.errors import PragmaspecError, StateLockedError, StateUnreadableError, StateUnwritableError, UsageError
from pragmaspec.guest.keys import StackKey
from pragmaspec.state.backends.local.backend import LocalBackend
from pragmaspec.state.store import Store
from pragmaspec.state.transfer import copy_state, pull, push, restore
from pragmaspec.state_model import Record
from tests.state.local_store import LocalStore
from tests.state.memory_backend import MemoryBackend
from tests.state.samples import LINEAGE, act, node

OTHER = "00000000-0000-4000-8000-000000000000"
BOOTS = [act("boot", node(index)) for index in range(4)]


@pytest.fixture
def store(tmp_path):
    return LocalStore(tmp_path / "state" / "hello")


def boot(store, index, *, checkpoint=True):
    with store.session("apply", LINEAGE) as session:
        session.intend([BOOTS[index]])
        session.outcome(BOOTS[index], Record(resource=BOOTS[index].resource))
        session.flush()
        if checkpoint:
            session.checkpoint()
        return session.state


def nodes(state):
    return {record.resource.index for record in state.records}


def edited(text, change):
    """Return ``text`` edited, without its checksum line."""
    document = json.loads(text)
    del document["sha256"]
    change(document)
    return json.dumps(document, indent=2)


def test_pull_includes_the_journal(store):
    boot(store, 0)
    boot(store, 1, checkpoint=False)
    pulled = json.loads(pull(store))
    assert (pulled["serial"], pulled["lineage"], len(pulled["records"])) == (1, LINEAGE, 2)
    assert pull(LocalStore(store.directory)) == pull(store), "deterministic"


def test_a_pushed_state_is_equal_under_a_new_serial(store):
    before = boot(store, 0, checkpoint=False)
    after = push(store, pull(store))
    assert (after.records, after.serial) == (before.records, 1)
    assert store.read() == after
    assert len(boot(store, 1).records) == 2


def test_an_edited_text_is_accepted_only_without_its_checksum(store):
    boot(store, 0)
    boot(store, 1)
    text = pull(store)
    with pytest.raises(StateUnreadableError, match="The state is damaged"):
        push(store, text.replace('"cpus":1', '"cpus":2'))
    push(store, edited(text, lambda document: document["records"].pop()))
    assert nodes(store.read()) == {0}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda document: document["records"].reverse(), "not sorted by address"),
        (lambda document: document.update(surprise=1), "surprise"),
        (lambda document: document["records"][0].update(status="odd"), "odd"),
        (lambda document: document.update(format=99), "format 99"),
    ],
)
def test_an_invalid_text_is_refused_with_the_cause(store, change, words):
    boot(store, 0)
    boot(store, 1)
    with pytest.raises(StateUnreadableError, match=words):
        push(store, edited(pull(store), change))


@pytest.mark.parametrize("text", ["", "\0", "null", "[]", "{}", '{"records": []}', "<html>", "x" * 10_000, "[" * 10_000])
def test_other_text_is_refused(store, text):
    with pytest.raises(StateUnreadableError):
        push(store, text)


def test_a_run_between_pull_and_push_is_not_undone(store):
    boot(store, 0)
    text = pull(store)
    boot(store, 1, checkpoint=False)
    with pytest.raises(UsageError, match=r"older than the recorded one.*Pull again"):
        push(store, text)
    boot(store, 2)
    with pytest.raises(UsageError, match="older than the recorded one"):
        push(store, text)
    assert nodes(store.read()) == {0, 1, 2}


def test_the_state_of_another_stack_cannot_be_pushed(store, tmp_path):
    boot(store, 0)
    other = LocalStore(tmp_path / "other")
    other.create(OTHER)
    with pytest.raises(UsageError, match="state of another stack"):
        push(store, pull(other))


def test_a_push_to_an_absent_state_creates_it(store, tmp_path):
    boot(store, 0)
    other = LocalStore(tmp_path / "other")
    pushed = push(other, pull(store))
    assert (pushed.lineage, pushed.records) == (LINEAGE, store.backend.read() and other.read().records)
    with pytest.raises(StateUnreadableError, match="rolled back"):
        store.read()


def test_an_absent_state_cannot_be_pulled(store):
    with pytest.raises(UsageError, match="Nothing is recorded yet"):
        pull(store)


def test_two_owners_of_one_creation_cannot_be_pushed(store):
    boot(store, 0)
    boot(store, 1)

    def same(document):
        for record in document["records"]:
            record["op"] = "ab" * 16

    with pytest.raises(StateUnwritableError, match=f"creation {'ab' * 16} belongs to .*compute-0 and to .*compute-1"):
        push(store, edited(pull(store), same))
    assert nodes(store.read()) == {0, 1}


def test_a_restored_version_has_a_new_higher_serial(store):
    boot(store, 0)
    boot(store, 1)
    boot(store, 2, checkpoint=False)
    restored = restore(store, 1)
    assert (nodes(restored), restored.serial) == ({0}, 3)
    assert store.read() == restored
    assert [version.serial for version in store.backend.history()] == [3, 2, 1, 0]
    assert nodes(boot(store, 3)) == {0, 3}


@pytest.mark.parametrize(
    "damage", [lambda file: file.write_text(""), lambda file: file.unlink(), lambda file: file.write_text("<<<<<<< x")]
)
def test_a_damaged_state_can_be_restored(store, damage):
    boot(store, 0)
    boot(store, 1)
    other = store.file.with_name("copy")
    other.write_bytes(store.file.read_bytes())
    store.file.unlink()
    other.rename(store.file)  # as an editor or git leaves it: not the file that the backup is linked to
    damage(store.file)
    restored = restore(store, 2)
    assert (nodes(restored), restored.serial) == ({0, 1}, 3)
    assert store.read() == restored


def test_during_an_interrupted_run_only_its_first_version_can_be_restored(store):
    boot(store, 0)
    boot(store, 1)
    boot(store, 2, checkpoint=False)
    store.file.unlink()
    store.file.write_text("")
    with pytest.raises(UsageError, match=r"extends serial 2, not 1.*state restore 2"):
        restore(store, 1)
    restored = restore(store, 2)
    assert nodes(restored) == {0, 1, 2}, "the journal is not lost"
    assert nodes(boot(store, 3)) == {0, 1, 2, 3}
    assert len({version.serial for version in store.backend.history()}) == len(store.backend.history())
    assert b'"serial": 2,' in store.backend.version(2), "the damaged file replaced no backup"


def test_restore_merges_a_spill():
    backend = MemoryBackend()
    store = Store(backend)
    boot(store, 0)
    with store.session("apply") as session:
        session.intend(BOOTS[1:2])
        session.outcome(BOOTS[1], Record(resource=node(1)))
        backend.faults = ["lost"]
        with pytest.raises(StateUnwritableError):
            session.flush()
    backend.snapshot = b""
    restored = restore(store, 1)
    assert [record.status for record in restored.records] == ["ready", "ready"]
    assert store.read() == restored


def test_restore_repairs_an_older_version_beside_a_newer_journal(store):
    boot(store, 0)
    old = store.file.read_bytes()
    boot(store, 1)
    boot(store, 2, checkpoint=False)
    store.file.unlink()
    store.file.write_bytes(old)
    with pytest.raises(StateUnreadableError, match="state restore 2"):
        store.read()
    assert nodes(restore(store, 2)) == {0, 1, 2}


def test_an_unknown_version_is_reported(store):
    boot(store, 0)
    with pytest.raises(UsageError, match=r"does not contain serial 9\. It contains: 0, 1"):
        restore(store, 9)


def test_after_a_copy_the_source_is_outdated(store):
    boot(store, 0)
    state = boot(store, 1, checkpoint=False)
    target = Store(MemoryBackend())
    moved = copy_state(store, target)
    assert (moved.records, moved.lineage, moved.serial) == (state.records, LINEAGE, 2)
    assert target.read() == moved
    with pytest.raises(StateUnreadableError, match="rolled back"):
        store.read()
    assert nodes(boot(target, 2)) == {0, 1, 2}
    back = copy_state(target, Store(LocalBackend(store.directory), accept_rollback=True))
    assert nodes(back) == {0, 1, 2}
    assert store.read() == back


def test_a_state_can_be_copied_to_an_encrypted_store():
    store, target = Store(MemoryBackend()), Store(MemoryBackend(), encrypt=True, stack_key=lambda *_: StackKey(b"k" * 32))
    boot(store, 0)
    moved = copy_state(store, target)
    assert b"hello" not in target.backend.snapshot
    assert target.read() == moved


def test_a_copy_does_not_replace_another_or_a_newer_state(store, tmp_path):
    boot(store, 0)
    other = Store(MemoryBackend())
    other.create(OTHER)
    with pytest.raises(UsageError, match="state of another stack"):
        copy_state(store, other)
    target = Store(MemoryBackend())
    copy_state(store, target)
    accepting = Store(LocalBackend(store.directory), accept_rollback=True)
    with pytest.raises(UsageError, match="The target contains a newer state"):
        copy_state(accepting, target)
    with pytest.raises(UsageError, match="Nothing is recorded yet"):
        copy_state(LocalStore(tmp_path / "nothing"), target)
    with pytest.raises(StateLockedError):
        copy_state(accepting, LocalStore(store.directory))


def test_a_target_that_returns_another_state_is_detected(store):
    boot(store, 0)

    class Forgetful(MemoryBackend):
        def read(self):
            return super().read() if self.serial != -1 or self.snapshot is None else super().read()._replace(snapshot=None)

    with pytest.raises(StateUnwritableError, match="returns another state"):
        copy_state(store, Store(Forgetful()))


def test_transfers_require_the_lock(store):
    boot(store, 0)
    text = pull(store)
    with LocalStore(store.directory).session("apply"):
        for change in (lambda: push(store, text), lambda: restore(store, 1), lambda: copy_state(store, Store(MemoryBackend()))):
            with pytest.raises(StateLockedError, match="apply"):
                change()
        holder = store.backend.holder()
        assert holder.command == "apply"
        with pytest.raises(UsageError, match="cannot be broken"):
            store.backend.break_lock(holder.id)
    assert store.backend.holder() is None
    store.backend.break_lock("whatever")


def test_a_removed_state_is_absent(store):
    boot(store, 0)
    boot(store, 1, checkpoint=False)
    store.remove()
    assert not store.exists()
    assert store.read().records == ()
    assert not store.directory.exists()
    store.create(LINEAGE)
    assert store.read().serial == 0


def test_an_existing_state_cannot_be_created_again():
    store = Store(MemoryBackend())
    store.create(LINEAGE)
    with pytest.raises(PragmaspecError, match="There is a state already"):
        store.create()
