"""A renamed cluster has the same machines, which keep running and get their new names."""

import re

import pytest

from tests.e2e.workspace import Workspace, connect

pytestmark = pytest.mark.guest

OLD, NEW = "trial", "voyage"


def machines(workspace: Workspace) -> dict[str, tuple[str, int, list[str]]]:
    """UUID, domain id, and MACs of every machine of this stack, by its name at the hypervisor."""
    short = workspace.json("state", "list")["lineage"][:8]
    connection = connect()
    try:
        return {
            domain.name(): (domain.UUIDString(), domain.ID(), re.findall(r"<mac address='(.*?)'", domain.XMLDesc()))
            for domain in connection.listAllDomains()
            if domain.name().endswith(f".{short}")
        }
    finally:
        connection.close()


def addresses(workspace: Workspace, cluster: str) -> dict[str, dict[str, str]]:
    listed = workspace.json("list", "cluster", cluster)["clusters"][0]["nodes"]
    return {node["name"].removeprefix(f"{cluster}-"): node["addresses"] for node in listed}


def ssh(workspace: Workspace, node: str, *command: str) -> str:
    return workspace.run("ssh", node, "--", *command).out.strip()


def test_a_renamed_cluster_keeps_running(workspace: Workspace) -> None:
    workspace.spec(computes=1)
    workspace.run("apply", "cluster.yaml", "--auto-approve")
    before, at = machines(workspace), addresses(workspace, OLD)
    assert {name.partition(".")[0] for name in before} == {f"{OLD}-frontend", f"{OLD}-compute-0"}
    boots = {node: ssh(workspace, f"{OLD}-{node}", "cat", "/proc/sys/kernel/random/boot_id") for node in at}

    file = workspace.directory / "cluster.yaml"
    file.write_text(file.read_text().replace(f"  {OLD}:\n", f"  {NEW}:\n") + f"moved:\n  - {{from: {OLD}, to: {NEW}}}\n")
    output = workspace.run("plan").out
    assert f"cluster {OLD} → {NEW}" in output
    assert {action["verb"] for action in workspace.json("plan")["actions"]} <= {"update", "record"}
    workspace.run("apply", "--auto-approve")

    assert workspace.run("plan").out.startswith("No changes")
    assert "No drift" in workspace.run("status").out
    assert machines(workspace) == before, "the same UUIDs, domain ids and MACs"
    assert addresses(workspace, NEW) == at
    for node, boot in boots.items():
        assert ssh(workspace, f"{NEW}-{node}", "cat", "/proc/sys/kernel/random/boot_id") == boot
        known = ssh(workspace, f"{NEW}-{node}", "cat", "/etc/hosts")
        assert f"{NEW}-frontend" in known
        assert f"{NEW}-compute-0" in known
        assert OLD not in known
    workspace.run("ssh", f"{OLD}-frontend", "--", "true", status=64)

    workspace.run("clean", NEW, "--shutdown", "--auto-approve")
    assert machines(workspace) == {}
