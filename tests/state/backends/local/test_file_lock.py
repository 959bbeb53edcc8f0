import os
import subprocess
import sys
from contextlib import contextmanager

import pytest

from pragmaspec.errors import StateLockedError
from pragmaspec.state.backends.local.disk import OS_DISK
from pragmaspec.state.backends.local.file_lock import FileLock, lock_holder, this_process


@contextmanager
def hold_lock(path, command):
    lock = FileLock(OS_DISK, path, this_process(command))
    try:
        yield lock
    finally:
        lock.release()


HOLD = """
import sys
from pathlib import Path
from tests.state.backends.local.test_file_lock import hold_lock
with hold_lock(Path(sys.argv[1]), "pragmaspec apply cluster.yaml"):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the lock."""
    path = tmp_path / ".lock"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "held\n"
        yield path, process
        process.kill()


def test_a_second_process_is_told_the_holder(holder):
    path, process = holder
    with pytest.raises(StateLockedError) as caught, hold_lock(path, "pragmaspec apply"):
        pass
    detail = caught.value.problems[0].detail
    for word in (f"Process {process.pid} of ", os.uname().nodename, "`pragmaspec apply cluster.yaml`", str(path), "T"):
        assert word in detail
    assert caught.value.exit_status == 3


def test_the_lock_of_a_killed_holder_is_free(holder):
    path, process = holder
    process.kill()
    process.wait()
    with hold_lock(path, "pragmaspec apply"):
        pass


def test_a_holder_without_a_note_is_still_a_holder(holder):
    path, _ = holder
    path.write_text("null")
    with pytest.raises(StateLockedError, match="Another process holds"), hold_lock(path, "pragmaspec apply"):
        pass


def test_a_released_lock_is_free_and_its_file_remains(tmp_path):
    path = tmp_path / ".lock"
    for _ in range(2):
        with hold_lock(path, "pragmaspec apply"):
            assert str(os.getpid()) in path.read_text()
        assert path.read_text() == ""


def test_a_user_without_a_name_is_shown_by_number(tmp_path, monkeypatch):
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 54321)
    with hold_lock(tmp_path / ".lock", "x"):
        assert '"user":"54321"' in (tmp_path / ".lock").read_text()


def test_a_symbolic_link_is_not_followed(tmp_path):
    (tmp_path / ".lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic"), hold_lock(tmp_path / ".lock", "x"):
        pass
    assert not (tmp_path / "elsewhere").exists()


def test_reading_the_holder_creates_nothing(holder, tmp_path):
    path, process = holder
    found = lock_holder(OS_DISK, path)
    assert (found.pid, found.command) == (process.pid, "pragmaspec apply cluster.yaml")
    assert found.id
    assert lock_holder(OS_DISK, tmp_path / "nothing") is None
    assert not (tmp_path / "nothing").exists()


def test_a_killed_holder_is_not_shown_despite_its_note(holder):
    path, process = holder
    process.kill()
    process.wait()
    assert path.read_text()
    assert lock_holder(OS_DISK, path) is None


def test_a_lock_whose_file_was_removed_or_replaced_is_lost(tmp_path):
    with hold_lock(tmp_path / ".lock", "x") as lock:
        assert lock.intact
        (tmp_path / ".lock").unlink()
        assert not lock.intact
        (tmp_path / ".lock").write_text("")
        assert not lock.intact
