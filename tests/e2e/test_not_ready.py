"""A node that does not become ready is reported with its stage and console output; the others complete."""

import pytest

from tests.e2e.workspace import Workspace

pytestmark = pytest.mark.guest


def test_a_failure_contains_node_stage_and_console(workspace: Workspace) -> None:
    workspace.spec(computes=1, readiness="{when: cloud-init, timeout: 20 s}")
    failed = workspace.run("apply", "cluster.yaml", "--auto-approve", status=5)
    assert "trial-frontend" in failed.err
    assert "trial-compute-0" in failed.err
    assert "cloud-init" in failed.err
    assert "tiny: ready" in failed.err, "the last lines of the console"
    assert "not ready" in workspace.run("plan").out

    workspace.spec(computes=1, readiness="ssh")
    workspace.run("apply", "--auto-approve")
    assert workspace.run("plan").out.startswith("No changes")
