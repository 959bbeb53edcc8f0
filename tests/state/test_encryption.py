import json
from base64 import b64encode

import pytest

from pragmaspec.errors import AccessError, StateUnreadableError
from pragmaspec.guest.keys import StackKey
from pragmaspec.state.backends.local.backend import LocalBackend
from pragmaspec.state.stack_key import key_file, load_stack_key
from pragmaspec.state.store import Store
from pragmaspec.state.transfer import pull
from pragmaspec.state_model import STATE_FORMAT, Record
from tests.state.local_store import LocalStore
from tests.state.memory_backend import MemoryBackend
from tests.state.samples import LINEAGE, act, node

OTHER = "00000000-0000-4000-8000-000000000000"
CANARY = "10.22.0.10"
BOOTS = [act("boot", node(index)) for index in range(3)]


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "state" / "hello"


@pytest.fixture
def store(folder):
    return Store(LocalBackend(folder), encrypt=True)


def boot(store, index, *, checkpoint=True):
    with store.session("apply", LINEAGE) as session:
        session.intend([BOOTS[index]])
        session.outcome(BOOTS[index], Record(resource=BOOTS[index].resource))
        session.flush()
        if checkpoint:
            session.checkpoint()
        return session.state


def texts(folder):
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_an_encrypted_state_reveals_no_content(store, folder):
    boot(store, 0)
    state = boot(store, 1, checkpoint=False)
    found = texts(folder)
    assert any(name.startswith("journal.") for name in found)
    for name, text in found.items():
        assert CANARY.encode() not in text, name
        assert b"hello-compute" not in text, name
    assert store.read() == state
    boot(store, 2)
    assert len(store.read().records) == 3


def test_the_header_of_an_encrypted_state_is_cleartext(store, folder):
    boot(store, 0)
    head = json.loads((folder / "state.json").read_bytes())
    assert {key: head[key] for key in ("format", "kind", "lineage", "serial", "sealed")} == {
        "format": STATE_FORMAT,
        "kind": "pragmaspec",
        "lineage": LINEAGE,
        "serial": 1,
        "sealed": "aes-256-gcm",
    }
    assert [version.serial for version in store.backend.history()] == [1, 0]


def test_a_store_without_a_preference_keeps_the_encryption(store, folder):
    boot(store, 0)
    boot(LocalStore(folder), 1)
    assert CANARY.encode() not in (folder / "state.json").read_bytes()
    assert len(LocalStore(folder).read().records) == 2


def test_encryption_can_be_turned_on_and_off(store, folder):
    load_stack_key(LINEAGE, create=True)
    boot(LocalStore(folder), 0, checkpoint=False)
    boot(store, 1, checkpoint=False)
    assert CANARY.encode() not in b"".join(
        text for name, text in texts(folder).items() if not name.startswith("state.0") and name != "state.1.json"
    )
    plain = Store(LocalBackend(folder), encrypt=False)
    boot(plain, 2)
    assert CANARY.encode() in (folder / "state.json").read_bytes()
    assert len(LocalStore(folder).read().records) == 3


def test_a_missing_or_wrong_key_is_reported(store, folder):
    boot(store, 0)
    key = key_file(LINEAGE)
    key.rename(key.with_suffix(".away"))
    with pytest.raises(AccessError, match="key of this stack is not on this machine"):
        store.read()
    key.write_text("ab" * 32)
    key.chmod(0o600)
    with pytest.raises(StateUnreadableError, match=r"encrypted with another key.*pragmaspec key export"):
        store.read()


@pytest.mark.parametrize(
    ("key", "value", "summary"),
    [
        ("serial", 7, "The encrypted state was changed"),
        ("serial", 0, "The encrypted state was changed"),
        ("lineage", OTHER, "The state is encrypted with another key"),
        ("format", STATE_FORMAT + 1, "The state has a newer format"),
        ("sealed", "rot-13", "The state has a newer format"),
        ("text", b64encode(b"x" * 100).decode(), "The encrypted state was changed"),
        ("text", "?", "The encrypted state was changed"),
        ("kind", "surprise", "The encrypted state was changed"),
    ],
)
def test_a_changed_header_is_detected(store, folder, key, value, summary):
    boot(store, 0)
    Store(MemoryBackend(), encrypt=True).create(OTHER)
    file = folder / "state.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), key: value}))
    with pytest.raises(StateUnreadableError, match=summary):
        store.read()


def test_a_truncated_or_changed_snapshot_is_refused(store, folder):
    boot(store, 0)
    file = folder / "state.json"
    data = file.read_bytes()
    state = store.read()
    for at in range(0, len(data) - 1, 7):
        file.write_bytes(data[:at])
        with pytest.raises(StateUnreadableError):
            store.read()
    for at in range(0, len(data), 7):
        flipped = bytearray(data)
        flipped[at] ^= 1 << at % 8
        file.write_bytes(bytes(flipped))
        try:
            assert store.read() == state
        except (StateUnreadableError, AccessError):
            continue


def test_a_truncated_or_changed_journal_is_refused_or_torn(store, folder):
    boot(store, 0)
    with store.session("apply") as session:
        session.intend(BOOTS[1:2])
        session.outcome(BOOTS[1], Record(resource=BOOTS[1].resource))
        session.flush()
    file = folder / "journal.1.jsonl"
    data = file.read_bytes()
    used = len(data.rstrip(b"\0"))
    whole = store.read().records
    kept = set()
    for at in range(0, used, 11):
        file.write_bytes(data[:at])
        kept.add(store.read().records)
        flipped = bytearray(data)
        flipped[at] ^= 1 << at % 8
        file.write_bytes(bytes(flipped))
        try:
            assert store.read().records == whole
        except StateUnreadableError:
            continue
    assert len(kept) == 2


def test_an_encrypted_state_cannot_be_replaced_by_an_unencrypted_one(store, folder):
    boot(store, 0)
    text = pull(store)
    (folder / "state.json").write_text(text)
    with pytest.raises(StateUnreadableError, match="no longer encrypted"):
        store.read()
    assert Store(LocalBackend(folder), encrypt=True, accept_rollback=True).read().records


def test_a_spill_is_encrypted_and_merged():
    backend = MemoryBackend()
    store = Store(backend, encrypt=True, stack_key=lambda lineage, create: StackKey(b"k" * 32))
    seen = []
    with store.session("apply", LINEAGE) as session:
        session.intend(BOOTS[:1])
        backend.watch = seen.append
        backend.faults = ["lost"]
        session.outcome(BOOTS[0], Record(resource=node(0)))
        with pytest.raises(Exception, match="lost"):
            session.flush()
    assert CANARY.encode() not in seen[0]
    assert [record.status for record in store.read().records] == ["ready"]
