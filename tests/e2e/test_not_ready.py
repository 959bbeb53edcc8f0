"""A node that does not come up: which one, at which stage, with what it last said. The others finish."""

import pytest

from tests.e2e.workspace import Workspace

pytestmark = pytest.mark.guest


def test_failure_names_node_stage_and_evidence(workspace: Workspace) -> None:
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
