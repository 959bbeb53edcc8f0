import json

import pytest

from pragmaspec.errors import PragmaspecError, StateLockedError, StateUnreadableError, StateUnwritableError, UsageError
from pragmaspec.guest.keys import StackKey
from pragmaspec.state.backends.local.backend import LocalBackend, LocalStore
from pragmaspec.state.store import Store
from pragmaspec.state_model import Record
from tests.state.memory_ground import MemoryGround
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
    """``text`` as a person leaves it who knows what they do: the checksum line taken away."""
    document = json.loads(text)
    del document["sha256"]
    change(document)
    return json.dumps(document, indent=2)


def test_what_is_pulled_has_everything_in_it(store):
    boot(store, 0)
    boot(store, 1, checkpoint=False)
    pulled = json.loads(store.pull())
    assert (pulled["serial"], pulled["lineage"], len(pulled["records"])) == (1, LINEAGE, 2)
    assert LocalStore(store.directory).pull() == store.pull(), "and is the same each time"


def test_pushed_back_it_is_the_same_under_a_new_serial(store):
    before = boot(store, 0, checkpoint=False)
    after = store.push(store.pull())
    assert (after.records, after.serial) == (before.records, 1)
    assert store.read() == after
    assert len(boot(store, 1).records) == 2


def test_an_edited_text_needs_its_checksum_taken_away(store):
    boot(store, 0)
    boot(store, 1)
    text = store.pull()
    with pytest.raises(StateUnreadableError, match="The state is damaged"):
        store.push(text.replace('"cpus":1', '"cpus":2'))
    store.push(edited(text, lambda document: document["records"].pop()))
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
def test_a_text_that_is_no_state_is_refused_with_the_place(store, change, words):
    boot(store, 0)
    boot(store, 1)
    with pytest.raises(StateUnreadableError, match=words):
        store.push(edited(store.pull(), change))


@pytest.mark.parametrize("text", ["", "\0", "null", "[]", "{}", '{"records": []}', "<html>", "x" * 10_000, "[" * 10_000])
def test_nonsense_is_refused_in_words(store, text):
    with pytest.raises(StateUnreadableError):
        store.push(text)


def test_a_run_between_pull_and_push_is_not_undone(store):
    boot(store, 0)
    text = store.pull()
    boot(store, 1, checkpoint=False)
    with pytest.raises(UsageError, match=r"older than the recorded one.*Pull again"):
        store.push(text)
    boot(store, 2)
    with pytest.raises(UsageError, match="older than the recorded one"):
        store.push(text)
    assert nodes(store.read()) == {0, 1, 2}


def test_the_state_of_another_stack_is_not_pushed_over_this_one(store, tmp_path):
    boot(store, 0)
    other = LocalStore(tmp_path / "other")
    other.create(OTHER)
    with pytest.raises(UsageError, match="state of another stack"):
        store.push(other.pull())


def test_a_push_into_nothing_begins_there(store, tmp_path):
    boot(store, 0)
    other = LocalStore(tmp_path / "other")
    pushed = other.push(store.pull())
    assert (pushed.lineage, pushed.records) == (LINEAGE, store.ground.read() and other.read().records)
    with pytest.raises(StateUnreadableError, match="rolled back"):
        store.read()


def test_nothing_is_pulled_from_nothing(store):
    with pytest.raises(UsageError, match="Nothing is recorded yet"):
        store.pull()


def test_two_owners_of_one_creation_are_not_pushed(store):
    boot(store, 0)
    boot(store, 1)

    def same(document):
        for record in document["records"]:
            record["op"] = "ab" * 16

    with pytest.raises(StateUnwritableError, match=f"creation {'ab' * 16} belongs to .*compute-0 and to .*compute-1"):
        store.push(edited(store.pull(), same))
    assert nodes(store.read()) == {0, 1}


def test_a_restored_version_has_a_new_higher_serial(store):
    boot(store, 0)
    boot(store, 1)
    boot(store, 2, checkpoint=False)
    restored = store.restore(1)
    assert (nodes(restored), restored.serial) == ({0}, 3)
    assert store.read() == restored
    assert [version.serial for version in store.history()] == [3, 2, 1, 0]
    assert nodes(boot(store, 3)) == {0, 3}


@pytest.mark.parametrize(
    "damage", [lambda file: file.write_text(""), lambda file: file.unlink(), lambda file: file.write_text("<<<<<<< x")]
)
def test_a_damaged_state_is_restored_with_all_it_had(store, damage):
    boot(store, 0)
    boot(store, 1)
    other = store.file.with_name("copy")
    other.write_bytes(store.file.read_bytes())
    store.file.unlink()
    other.rename(store.file)  # as an editor or git leaves it: not the file that the kept version is
    damage(store.file)
    restored = store.restore(2)
    assert (nodes(restored), restored.serial) == ({0, 1}, 3)
    assert store.read() == restored


def test_under_an_interrupted_run_only_the_version_it_began_with_is_put_back(store):
    boot(store, 0)
    boot(store, 1)
    boot(store, 2, checkpoint=False)
    store.file.unlink()
    store.file.write_text("")
    with pytest.raises(UsageError, match=r"goes on from serial 2, not 1.*state restore 2"):
        store.restore(1)
    restored = store.restore(2)
    assert nodes(restored) == {0, 1, 2}, "the journal's part is not lost"
    assert nodes(boot(store, 3)) == {0, 1, 2, 3}
    assert len({version.serial for version in store.history()}) == len(store.history())
    assert b'"serial": 2,' in store.ground.version(2), "what was damaged took the place of no kept version"


def test_a_spill_is_taken_in_by_a_restore_too():
    ground = MemoryGround()
    store = Store(ground)
    boot(store, 0)
    with store.session("apply") as session:
        session.intend(BOOTS[1:2])
        session.outcome(BOOTS[1], Record(resource=node(1)))
        ground.trouble = ["lost"]
        with pytest.raises(StateUnwritableError):
            session.flush()
    ground.snapshot = b""
    restored = store.restore(1)
    assert [record.status for record in restored.records] == ["ready", "ready"]
    assert store.read() == restored


def test_an_older_version_put_back_under_an_interrupted_run_is_put_right(store):
    boot(store, 0)
    old = store.file.read_bytes()
    boot(store, 1)
    boot(store, 2, checkpoint=False)
    store.file.unlink()
    store.file.write_bytes(old)
    with pytest.raises(StateUnreadableError, match="state restore 2"):
        store.read()
    assert nodes(store.restore(2)) == {0, 1, 2}


def test_a_version_that_is_not_kept(store):
    boot(store, 0)
    with pytest.raises(UsageError, match=r"does not hold serial 9\. It holds: 0, 1"):
        store.restore(9)


def test_a_state_moves_and_the_old_place_is_an_old_state_from_then_on(store):
    boot(store, 0)
    state = boot(store, 1, checkpoint=False)
    target = Store(MemoryGround())
    moved = store.copy_to(target)
    assert (moved.records, moved.lineage, moved.serial) == (state.records, LINEAGE, 2)
    assert target.read() == moved
    with pytest.raises(StateUnreadableError, match="rolled back"):
        store.read()
    assert nodes(boot(target, 2)) == {0, 1, 2}
    back = target.copy_to(Store(LocalBackend(store.directory), accept_rollback=True))
    assert nodes(back) == {0, 1, 2}
    assert store.read() == back


def test_a_state_moves_into_an_encrypted_place():
    store, target = Store(MemoryGround()), Store(MemoryGround(), encrypt=True, stack_key=lambda *_: StackKey(b"k" * 32))
    boot(store, 0)
    moved = store.copy_to(target)
    assert b"hello" not in target.ground.snapshot
    assert target.read() == moved


def test_a_state_does_not_move_over_another_or_a_newer_one(store, tmp_path):
    boot(store, 0)
    other = Store(MemoryGround())
    other.create(OTHER)
    with pytest.raises(UsageError, match="state of another stack"):
        store.copy_to(other)
    target = Store(MemoryGround())
    store.copy_to(target)
    accepting = Store(LocalBackend(store.directory), accept_rollback=True)
    with pytest.raises(UsageError, match="The target holds a newer state"):
        accepting.copy_to(target)
    with pytest.raises(UsageError, match="Nothing is recorded yet"):
        LocalStore(tmp_path / "nothing").copy_to(target)
    with pytest.raises(StateLockedError):
        accepting.copy_to(LocalStore(store.directory))


def test_a_target_that_keeps_something_else_is_found_out(store):
    boot(store, 0)

    class Forgetful(MemoryGround):
        def read(self):
            return super().read() if self.serial != -1 or self.snapshot is None else super().read()._replace(snapshot=None)

    with pytest.raises(StateUnwritableError, match="gives back something else"):
        store.copy_to(Store(Forgetful()))


def test_everything_is_under_the_lock(store):
    boot(store, 0)
    text = store.pull()
    with LocalStore(store.directory).session("apply"):
        for change in (lambda: store.push(text), lambda: store.restore(1), lambda: store.copy_to(Store(MemoryGround()))):
            with pytest.raises(StateLockedError, match="apply"):
                change()
        holder = store.lock_holder()
        assert holder.command == "apply"
        with pytest.raises(UsageError, match="cannot be taken from its holder"):
            store.unlock(holder.id)
    assert store.lock_holder() is None
    store.unlock("whatever")


def test_removed_there_is_nothing(store):
    boot(store, 0)
    boot(store, 1, checkpoint=False)
    store.remove()
    assert not store.exists()
    assert store.read().records == ()
    assert not store.directory.exists()
    store.create(LINEAGE)
    assert store.read().serial == 0


def test_created_only_where_nothing_is():
    store = Store(MemoryGround())
    store.create(LINEAGE)
    with pytest.raises(PragmaspecError, match="There is a state already"):
        store.create()
