"""Two users, two repositories, one hypervisor: the site is the arbiter."""

from pathlib import Path
from shutil import copytree

import pytest

from tests.e2e.workspace import Workspace, listing

pytestmark = pytest.mark.guest


def test_a_second_user_learns_the_holders(workspace: Workspace, tiny_image: Path, probes: Path, tmp_path: Path) -> None:
    before = listing()
    wish = {"private": "{vlan: 33}", "public": "192.168.150.15"}
    workspace.spec(computes=0, **wish, readiness="none")
    workspace.run("apply", "cluster.yaml", "--auto-approve")
    mine = listing()

    other = Workspace(tmp_path / "work", tmp_path / "home", tiny_image)
    copytree(probes, other.cache, dirs_exist_ok=True)
    other.spec(computes=0, **wish, readiness="none")
    refused = other.run("plan", "cluster.yaml", status=1).err
    assert "VLAN 33" in refused
    assert "192.168.150.15" in refused or "VLAN" in refused
    assert "trial" in refused
    assert listing() == mine

    other.spec(computes=0, readiness="none")
    other.run("apply", "--auto-approve")
    names = [name for name in listing().domains if name.startswith("trial-frontend.")]
    assert len(names) == 2, "the same cluster name, once per user"
    other.run("clean", "trial", "--shutdown", "--auto-approve")
    assert listing() == mine
    workspace.run("clean", "trial", "--shutdown", "--auto-approve")
    assert listing() == before
