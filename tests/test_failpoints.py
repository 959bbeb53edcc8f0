"""Failpoints: the points where tests make a run fail."""

import errno
import signal
import subprocess
import sys

import pytest

from pragmaspec import failpoints


@pytest.fixture(autouse=True)
def disarmed():
    yield
    failpoints.arm("")


def test_reaching_a_failpoint_has_no_effect_if_none_is_armed():
    failpoints.arm("")
    failpoints.reach("engine.begin")


@pytest.mark.parametrize(("action", "number"), [("eio", errno.EIO), ("enospc", errno.ENOSPC)])
def test_a_failpoint_raises_only_on_its_nth_hit(action, number):
    failpoints.arm(f"store.sync:2:{action}")
    failpoints.reach("store.sync")
    failpoints.reach("another")
    with pytest.raises(OSError, match=r"failpoint store\.sync") as caught:
        failpoints.reach("store.sync")
    assert caught.value.errno == number
    failpoints.reach("store.sync")


@pytest.mark.parametrize("text", ["x:1", "x:one:kill", "x:1:explode"])
def test_malformed_failpoints_are_rejected(text):
    with pytest.raises(ValueError, match=r"."):
        failpoints.arm(text)


def test_the_environment_arms_a_failpoint_that_kills_the_process():
    script = "from pragmaspec.failpoints import reach; reach('here'); print('once'); reach('here'); print('twice')"
    done = subprocess.run(
        [sys.executable, "-u", "-c", script],
        env={"PRAGMASPEC_FAILPOINT": "here:2:kill"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (-signal.SIGKILL, "once\n")
