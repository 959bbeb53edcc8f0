"""A disk without cloud-init on a real hypervisor: every node finds the guest contract in its own file system."""

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from tests.e2e.workspace import Workspace, domain
from tests.guest_images.tiny import TinyImage
from tests.guest_images.without_cloud_init import build_without_cloud_init

pytestmark = pytest.mark.guest


@pytest.fixture(scope="module")
def plain(workspace: Workspace, tiny_image: Path, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    tiny = TinyImage(vmlinuz=tiny_image / "vmlinuz", initrd=tiny_image / "initrd", disk=tiny_image / "disk.qcow2")
    disk = build_without_cloud_init(tiny, tmp_path_factory.mktemp("plain"))
    specify(workspace, disk)
    workspace.run("apply", "cluster.yaml", "--auto-approve")
    return workspace


def specify(space: Workspace, disk: Path, **settings: str) -> None:
    """Write the usual spec with an image that is configured by files, and the default readiness."""
    space.spec(computes=1, image="plain", readiness="{timeout: 3 min}", **settings)
    spec = space.directory / "cluster.yaml"
    text = spec.read_text()
    spec.write_text(f"images:\n  plain: {{source: {disk}, format: raw, guest: files}}\n" + text[text.index("sites:") :])


def ask(space: Workspace, node: str, command: str) -> str:
    return space.run("ssh", node, "--", command).out


def test_every_node_has_the_guest_contract_in_its_files(plain: Workspace) -> None:
    frontend = ET.fromstring(ask(plain, "trial-frontend", "cat /root/vc-out.xml"))
    assert frontend.find("compute").get("count") == "1"
    there = ask(plain, "trial-frontend", "ssh trial-compute-0 'hostname; cat /etc/pragmaspec/cluster.json'")
    name, contract = there.split("\n", 1)
    assert name == "trial-compute-0"
    assert json.loads(contract)["node"]["name"] == "trial-compute-0"
    compute = ET.fromstring(ask(plain, "trial-compute-0", "cat /root/vc-out.xml"))
    assert compute.find("compute/private") is not None


def test_no_seed_is_read_and_the_images_identity_is_removed(plain: Workspace) -> None:
    assert "iso9660" not in ask(plain, "trial-frontend", "cat /proc/mounts")
    assert "dhcp" not in ask(plain, "trial-frontend", "cat /etc/network/interfaces")
    assert "ssh_host_rsa" not in ask(plain, "trial-frontend", "ls /etc/ssh")
    identities = {ask(plain, node, "cat /etc/machine-id").strip() for node in plain.nodes()}
    assert len(identities) == 2
    assert "0123456789abcdef0123456789abcdef" not in identities


def test_the_frontend_is_the_gateway(plain: Workspace) -> None:
    assert ask(plain, "trial-frontend", "cat /proc/sys/net/ipv4/ip_forward").strip() == "1"
    assert "masquerade" in ask(plain, "trial-frontend", "nft list ruleset")
    assert "default via" in ask(plain, "trial-compute-0", "ip route")


def test_later_changes_are_applied_over_ssh(plain: Workspace) -> None:
    assert plain.run("plan").out.startswith("No changes")
    began = domain("trial-frontend").ID()
    spec = plain.directory / "cluster.yaml"
    key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKHEChAIxjh0e0GjbNnGOhhBgFjp9VgwK3qyqyzDfDzC colleague"
    spec.write_text(spec.read_text() + f"    ssh_keys: [{key}]\n")
    assert {action["verb"] for action in plain.json("plan")["actions"]} == {"update"}
    plain.run("apply", "--auto-approve")
    assert key in ask(plain, "trial-compute-0", "cat /root/.ssh/authorized_keys")
    assert domain("trial-frontend").ID() == began
