import stat
import threading

import pytest

from pragmaspec.errors import AccessError
from pragmaspec.state.stack_key import key_file, load_stack_key
from tests.state.samples import LINEAGE


@pytest.fixture(autouse=True)
def _keys(tmp_path, monkeypatch):
    monkeypatch.setenv("PRAGMASPEC_KEYS", str(tmp_path / "keys"))


def test_a_new_stack_gets_a_persistent_key(tmp_path):
    key = load_stack_key(LINEAGE, create=True)
    assert load_stack_key(LINEAGE) == load_stack_key(LINEAGE, create=True) == key
    path = tmp_path / "keys" / f"{LINEAGE}.key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [path.name for path in path.parent.iterdir()] == [path.name]


def test_an_existing_stack_needs_its_own_key():
    with pytest.raises(AccessError, match=r"is missing.*Copy it from"):
        load_stack_key(LINEAGE)


def test_concurrent_creations_agree_on_one_key():
    found = []
    threads = [threading.Thread(target=lambda: found.append(load_stack_key(LINEAGE, create=True))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1


@pytest.mark.parametrize("text", ["", "short\n", "z" * 64, "é" * 64])
def test_an_invalid_key_is_refused_without_showing_it(text):
    key_file(LINEAGE).parent.mkdir()
    key_file(LINEAGE).touch(mode=0o600)
    key_file(LINEAGE).write_text(text)
    with pytest.raises(AccessError, match="hexadecimal digits") as caught:
        load_stack_key(LINEAGE, create=True)
    assert not text or text.strip() not in str(caught.value)


def test_a_key_that_other_users_can_read_is_refused():
    load_stack_key(LINEAGE, create=True)
    key_file(LINEAGE).chmod(0o640)
    with pytest.raises(AccessError, match="chmod 600"):
        load_stack_key(LINEAGE)


def test_an_unusable_directory_is_reported(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("PRAGMASPEC_KEYS", str(tmp_path / "file"))
    with pytest.raises(AccessError, match="cannot be used"):
        load_stack_key(LINEAGE)
    monkeypatch.setenv("PRAGMASPEC_KEYS", str(tmp_path / "file" / "under"))
    with pytest.raises(AccessError, match="cannot be used"):
        load_stack_key(LINEAGE, create=True)


def test_location_of_the_keys(tmp_path, monkeypatch):
    monkeypatch.delenv("PRAGMASPEC_KEYS")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert key_file("x") == tmp_path / "pragmaspec" / "keys" / "x.key"
    monkeypatch.setenv("XDG_DATA_HOME", "relative is not allowed")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert key_file("x") == tmp_path / ".local" / "share" / "pragmaspec" / "keys" / "x.key"
