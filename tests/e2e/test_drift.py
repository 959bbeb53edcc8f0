"""External changes are shown, and only they are repaired."""

import pytest

from tests.e2e.workspace import Workspace, domain, listing

pytestmark = pytest.mark.guest


def test_destroyed_and_undefined_nodes_are_repaired_and_nothing_else(workspace: Workspace) -> None:
    workspace.spec(computes=2)
    workspace.run("apply", "cluster.yaml", "--auto-approve")
    expected = listing()
    untouched = domain("trial-frontend").ID()
    domain("trial-compute-0").destroy()
    victim = domain("trial-compute-1")
    victim.destroy()
    victim.undefine()

    output = workspace.run("plan").out
    assert "trial-compute-0" in output
    assert "is off, recorded as running" in output
    assert "no longer defined" in output
    assert {action["address"].rpartition("/")[2] for action in workspace.json("plan")["actions"]} == {
        "trial-compute-0",
        "trial-compute-1",
    }
    workspace.run("plan", "--detailed-exitcode", status=2)
    workspace.run("apply", "--auto-approve")
    assert workspace.run("plan").out.startswith("No changes")
    assert listing() == expected
    assert domain("trial-frontend").ID() == untouched
    assert workspace.run("ssh", "trial-compute-1", "--", "hostname").out.strip() == "trial-compute-1"
