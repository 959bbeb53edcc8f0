"""Users of real guests: they log in with their keys, and are added and removed while the nodes run."""

import subprocess
from pathlib import Path

import pytest

from tests.e2e.workspace import Workspace, domain

pytestmark = pytest.mark.guest

FRONTEND = "192.168.150.10"


def key_of(workspace: Workspace, name: str) -> Path:
    file = workspace.directory / f"{name}.key"
    if not file.exists():
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", file], check=True)
    return file


def login(workspace: Workspace, name: str, command: str) -> "subprocess.CompletedProcess[str]":
    """Log in to the frontend as ``name``."""
    options = [
        "-o",
        "BatchMode=yes",
        "-o",
        "StrictHostKeyChecking=no",
        "-o",
        "UserKnownHostsFile=/dev/null",
        "-o",
        "IdentitiesOnly=yes",
    ]
    return subprocess.run(
        ["ssh", "-F", "none", *options, "-i", key_of(workspace, name), f"{name}@{FRONTEND}", command],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def write_spec(workspace: Workspace, *names: str) -> None:
    users = ", ".join(f"{name}: {{ssh_keys: [{key_of(workspace, name)}.pub]}}" for name in names)
    workspace.spec(computes=1, users=f"{{{users}}}")


@pytest.fixture(scope="module")
def cluster(workspace: Workspace) -> Workspace:
    write_spec(workspace, "ada")
    workspace.run("apply", "cluster.yaml", "--auto-approve")
    return workspace


def test_a_user_logs_in_from_the_first_boot_on(cluster: Workspace) -> None:
    assert login(cluster, "ada", "id -un").stdout == "ada\n"
    ids = [cluster.run("ssh", node, "--", "id -u ada").out for node in ("trial-frontend", "trial-compute-0")]
    assert ids[0] == ids[1]
    assert cluster.run("plan").out.startswith("No changes")


def test_users_come_and_go_while_the_nodes_run(cluster: Workspace) -> None:
    running = domain("trial-frontend").ID()
    login(cluster, "ada", "echo draft >thesis")
    write_spec(cluster, "ada", "grace")
    assert {action["verb"] for action in cluster.json("plan")["actions"]} == {"update"}
    cluster.run("apply", "--auto-approve")
    assert login(cluster, "grace", "id -un").stdout == "grace\n"

    write_spec(cluster, "grace")
    cluster.run("apply", "--auto-approve")
    refused = login(cluster, "ada", "true")
    assert (refused.returncode, "Permission denied" in refused.stderr) == (255, True)

    write_spec(cluster, "ada")
    cluster.run("apply", "--auto-approve")
    assert login(cluster, "ada", "cat thesis").stdout == "draft\n"
    assert login(cluster, "grace", "true").returncode == 255
    assert domain("trial-frontend").ID() == running
