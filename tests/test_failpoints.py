"""The places where tests let a run die, themselves."""

import errno
import signal
import subprocess
import sys

import pytest

from pragmaspec import failpoints


@pytest.fixture(autouse=True)
def nothing_armed():
    yield
    failpoints.arm("")


def test_without_one_armed_nothing_happens():
    failpoints.arm("")
    failpoints.reach("engine.begin")


@pytest.mark.parametrize(("what", "number"), [("eio", errno.EIO), ("enospc", errno.ENOSPC)])
def test_a_disk_fails_at_the_time_that_is_named_and_at_no_other(what, number):
    failpoints.arm(f"store.sync:2:{what}")
    failpoints.reach("store.sync")
    failpoints.reach("another")
    with pytest.raises(OSError, match=r"failpoint store\.sync") as caught:
        failpoints.reach("store.sync")
    assert caught.value.errno == number
    failpoints.reach("store.sync")


@pytest.mark.parametrize("text", ["x:1", "x:one:kill", "x:1:explode"])
def test_what_is_no_failpoint_is_a_bug_of_the_test(text):
    with pytest.raises(ValueError, match=r"."):
        failpoints.arm(text)


def test_a_process_dies_by_what_its_environment_says():
    script = "from pragmaspec.failpoints import reach; reach('here'); print('once'); reach('here'); print('twice')"
    done = subprocess.run(
        [sys.executable, "-u", "-c", script],
        env={"PRAGMASPEC_FAILPOINT": "here:2:kill"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (-signal.SIGKILL, "once\n")
