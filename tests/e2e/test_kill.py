"""SIGKILL in the middle of an apply: the next one completes it, and leaves nothing behind."""

import os
import signal
import subprocess
import time
from collections.abc import Callable

import pytest

from tests.e2e.workspace import Workspace, listing

pytestmark = pytest.mark.guest
LIMIT_S = 120


def _kill_when(workspace: Workspace, process: "subprocess.Popen[bytes]", reached: Callable[[], bool]) -> None:
    limit = time.monotonic() + LIMIT_S
    try:
        while not reached():
            assert process.poll() is None, (workspace.directory / "output.txt").read_text()
            assert time.monotonic() < limit, "the state was not reached"
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.mark.parametrize("moment", ["staging", "first-domain", "all-domains"])
def test_apply_after_kill_converges(workspace: Workspace, moment: str) -> None:
    empty = listing()
    workspace.spec(computes=2)

    def reached() -> bool:
        now = listing(refresh=False)
        return {
            "staging": bool(now.volumes - empty.volumes),
            "first-domain": len(now.domains - empty.domains) >= 1,
            "all-domains": len(now.domains - empty.domains) >= 3,
        }[moment]

    process = workspace.start("apply", "cluster.yaml", "--auto-approve")
    _kill_when(workspace, process, reached)
    assert "interrupted" in workspace.run("plan").out or moment == "staging"
    workspace.run("apply", "--auto-approve")
    assert workspace.run("plan").out.startswith("No changes")
    assert len(listing().domains - empty.domains) == 3
    workspace.run("clean", "trial", "--shutdown", "--auto-approve")
    assert listing() == empty
