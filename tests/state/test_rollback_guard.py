import shutil
import subprocess

import pytest

from pragmaspec.errors import StateUnreadableError
from pragmaspec.paths import state_home
from pragmaspec.state.backends.local.backend import LocalBackend
from pragmaspec.state.store import Store
from pragmaspec.state.transfer import pull, push, restore
from pragmaspec.state_model import Record
from tests.state.local_store import LocalStore
from tests.state.samples import LINEAGE, act, node


@pytest.fixture
def store(tmp_path):
    return LocalStore(tmp_path / "state" / "hello")


def boot(store, index):
    with store.session("apply", LINEAGE) as session:
        action = act("boot", node(index))
        session.intend([action])
        session.outcome(action, Record(resource=action.resource))
        session.checkpoint()


def test_an_older_state_is_refused_with_every_remedy(store):
    boot(store, 0)
    old = store.file.read_bytes()
    boot(store, 1)
    store.file.write_bytes(old)
    with pytest.raises(StateUnreadableError, match="The state was rolled back") as caught:
        store.read()
    detail = caught.value.problems[0].detail
    for words in ("serial 1", "serial 2", "state restore 2", "--accept-rollback", "git checkout", "state migrate", "--state"):
        assert words in detail
    with pytest.raises(StateUnreadableError, match="rolled back"), store.session("apply"):
        pass


def test_a_git_checkout_of_an_old_commit_is_detected_and_undone(tmp_path):
    def git(*words):
        subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@example.org", *words], cwd=tmp_path, check=True)

    store = LocalStore(tmp_path / "state" / "hello")
    git("init", "-q")
    boot(store, 0)
    git("add", "state/hello/state.json")
    git("commit", "-q", "-m", "one machine")
    boot(store, 1)
    boot(store, 2)
    git("checkout", "-q", "--", "state/hello/state.json")
    with pytest.raises(StateUnreadableError, match="state restore 3"):
        store.read()
    assert restore(store, 3).serial == 4
    assert len(store.read().records) == 3, "although nothing newer was ever committed"


def test_an_accepted_rollback_is_permanent(store):
    boot(store, 0)
    old = store.file.read_bytes()
    boot(store, 1)
    store.file.write_bytes(old)
    accepting = Store(LocalBackend(store.directory), accept_rollback=True)
    assert len(accepting.read().records) == 1
    with pytest.raises(StateUnreadableError):
        store.read()
    boot(accepting, 2)
    assert store.read().serial == 2


def test_another_machine_detects_a_rollback_only_after_its_first_read(store, monkeypatch, tmp_path):
    boot(store, 0)
    old = store.file.read_bytes()
    boot(store, 1)
    new = store.file.read_bytes()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "another"))
    store.file.write_bytes(old)
    assert len(store.read().records) == 1
    store.file.write_bytes(new)
    assert len(store.read().records) == 2
    store.file.write_bytes(old)
    with pytest.raises(StateUnreadableError, match="rolled back"):
        store.read()


def test_a_machine_that_cannot_write_the_guard_can_work(store, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    boot(store, 0)
    assert len(store.read().records) == 1


def test_the_guard_is_private_and_removed_with_the_state(store):
    boot(store, 0)
    folder = state_home() / "pragmaspec" / LINEAGE
    assert [path.name for path in folder.iterdir()] == ["high-water"]
    assert (folder / "high-water").stat().st_mode & 0o077 == 0
    assert folder.stat().st_mode & 0o077 == 0
    store.remove()
    assert not folder.exists()
    assert not store.directory.exists()


def test_a_state_home_must_be_absolute(monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", "here")
    assert state_home().is_absolute()


def test_a_lineage_cannot_escape_its_directory(store):
    boot(store, 0)
    text = pull(store).replace(LINEAGE, "../../evil")
    edited = "".join(line for line in text.splitlines(keepends=True) if not line.startswith('"sha256"'))
    with pytest.raises(StateUnreadableError, match="contains a lineage"):
        push(store, edited)
    shutil.rmtree(store.directory)
