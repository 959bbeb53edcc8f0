"""The real libvirt daemon for tests: a running one is used, else one is started, and stopped after the tests."""

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
    """``qemu:///system`` with a pool and a network "default", started by the script for users.

    The script records in its run directory what it started; it is stopped only if this session started it.
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
