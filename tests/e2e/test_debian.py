"""The quickstart's own spec, whole: a Debian image built from packages, three nodes, cloud-init to the end."""

import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from tests.e2e.workspace import NETWORK, POOL, Workspace

pytestmark = pytest.mark.slow
QUICKSTART = Path(__file__).parents[2] / "examples" / "quickstart" / "cluster.yaml"
APPLY_LIMIT_S = 900


@pytest.fixture(scope="module")
def debian(workspace: Workspace) -> Workspace:
    """The cluster of the quickstart, in the tests' own pool and on their own public network."""
    spec, replaced = re.subn(
        r"(?m)^    provider: libvirt$",
        f"    provider: libvirt\n    pool: {POOL}\n    public: {{network: {NETWORK}, addresses: [192.168.150.20]}}",
        QUICKSTART.read_text(encoding="utf-8"),
    )
    assert replaced == 1
    spec = spec.replace("hello", "trial")
    workspace.directory.joinpath("cluster.yaml").write_text(spec, encoding="utf-8")
    workspace.run("plan", "cluster.yaml", limit_s=APPLY_LIMIT_S)
    workspace.run("apply", "cluster.yaml", "--auto-approve", limit_s=APPLY_LIMIT_S)
    return workspace


def test_cloud_init_finished_without_error_on_every_node(debian: Workspace) -> None:
    for node in debian.nodes():
        assert "status: done" in debian.run("ssh", node, "--", "cloud-init", "status").out


def test_nodes_know_and_reach_each_other(debian: Workspace) -> None:
    said = debian.run("ssh", "trial-frontend", "--", "ssh", "trial-compute-1", "hostname")
    assert said.out.strip() == "trial-compute-1"
    assert debian.run("ssh", "trial-compute-1", "--", "ssh", "trial-compute-0", "hostname").out.strip() == "trial-compute-0"
    contract = json.loads(debian.run("ssh", "trial-compute-1", "--", "cat", "/etc/pragmaspec/cluster.json").out)
    assert {node["name"] for node in contract["nodes"]} == {"trial-frontend", "trial-compute-0", "trial-compute-1"}
    for node, path in (("trial-frontend", "compute/node/private"), ("trial-compute-0", "compute/private")):
        assert ET.fromstring(debian.run("ssh", node, "--", "cat", "/root/vc-out.xml").out).find(path) is not None


def test_the_image_is_pinned_with_its_package_list(debian: Workspace) -> None:
    lock = debian.directory.joinpath("pragmaspec.lock").read_text(encoding="utf-8")
    (image,) = debian.json("list", "repository")["images"]
    assert image["digest"] in lock
    assert "packages" in lock


def test_plan_afterwards_is_a_no_op(debian: Workspace) -> None:
    assert debian.run("plan").out.startswith("No changes")
