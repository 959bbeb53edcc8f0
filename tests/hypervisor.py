"""The real libvirt daemon for tests: whoever answers is used; where none does, ours is started, and ended with the tests."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

QUICKSTART = Path(__file__).parents[1] / "examples" / "quickstart"
RUN_DIRECTORY = Path(os.environ.get("PRAGMASPEC_HYPERVISOR_RUN", "/run/pragmaspec-hypervisor"))
START_LIMIT_S = 300
STOP_LIMIT_S = 120


@pytest.fixture(scope="session")
def hypervisor() -> Iterator[None]:
    """``qemu:///system`` answers, with a pool and a network called "default": through the script that users have.

    The script notes in its run directory what it started; it is undone here only if it was this session that had it made.
    """
    started_before = RUN_DIRECTORY.exists()
    _run("start-hypervisor", START_LIMIT_S)
    yield
    if RUN_DIRECTORY.exists() and not started_before:
        _run("stop-hypervisor", STOP_LIMIT_S)


def _run(script: str, limit_s: int) -> None:
    done = subprocess.run([QUICKSTART / script], capture_output=True, text=True, timeout=limit_s, check=False)
    if done.returncode != 0:
        pytest.fail(f"{script} failed:\n{done.stdout}{done.stderr}", pytrace=False)
