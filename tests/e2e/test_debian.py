"""The quickstart's spec with one compute fewer: a Debian image built from packages, with cloud-init completed."""

import json
import re
import xml.etree.ElementTree as ET

import pytest

from tests.e2e.debian_image import QUICKSTART, build_debian
from tests.e2e.workspace import NETWORK, POOL, Workspace

pytestmark = pytest.mark.slow
APPLY_LIMIT_S = 900


@pytest.fixture(scope="module")
def debian(workspace: Workspace) -> Workspace:
    """The quickstart's cluster, in the tests' own pool and public network."""
    spec, replaced = re.subn(
        r"(?m)^    provider: libvirt$",
        f"    provider: libvirt\n    pool: {POOL}\n    public: {{network: {NETWORK}, addresses: [192.168.150.20]}}",
        QUICKSTART.read_text(encoding="utf-8"),
    )
    assert replaced == 1
    assert "count: 2" in spec
    spec = spec.replace("hello", "trial").replace("count: 2", "count: 1")
    workspace.directory.joinpath("cluster.yaml").write_text(spec, encoding="utf-8")
    build_debian().give_to(workspace)
    workspace.run("plan", "cluster.yaml", limit_s=APPLY_LIMIT_S)
    workspace.run("apply", "cluster.yaml", "--auto-approve", limit_s=APPLY_LIMIT_S)
    return workspace


def test_cloud_init_finished_without_error_on_every_node(debian: Workspace) -> None:
    for node in debian.nodes():
        assert "status: done" in debian.run("ssh", node, "--", "cloud-init", "status").out


def test_nodes_know_and_reach_each_other(debian: Workspace) -> None:
    there = debian.run("ssh", "trial-frontend", "--", "ssh trial-compute-0 hostname; cat /root/vc-out.xml").out
    name, frontend_xml = there.split("\n", 1)
    assert name == "trial-compute-0"
    assert ET.fromstring(frontend_xml).find("compute/node/private") is not None
    back = debian.run(
        "ssh", "trial-compute-0", "--", "ssh trial-frontend cat /etc/pragmaspec/cluster.json; cat /root/vc-out.xml"
    ).out
    contract, declaration, compute_xml = back.partition("<?xml")
    assert {node["name"] for node in json.loads(contract)["nodes"]} == {"trial-frontend", "trial-compute-0"}
    assert ET.fromstring(declaration + compute_xml).find("compute/private") is not None


def test_the_image_is_pinned_with_its_package_list(debian: Workspace) -> None:
    lock = debian.directory.joinpath("pragmaspec.lock").read_text(encoding="utf-8")
    (image,) = (each for each in debian.json("list", "repository")["images"] if each["name"] == "debian-12")
    assert image["digest"] in lock
    assert "packages" in lock


def test_plan_afterwards_is_a_no_op(debian: Workspace) -> None:
    assert debian.run("plan").out.startswith("No changes")
