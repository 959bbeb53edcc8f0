"""The complete workflow on a real hypervisor with real guests: plan, apply, log in, change, clean."""

import json
import subprocess
import sys
import time

import pytest

from tests.e2e.workspace import APPLY_LIMIT_S, HOST_ADDRESS, Workspace, answering, domain, listing
from tests.guest.vc_out_reader import read

pytestmark = pytest.mark.guest

CONSOLE_LIMIT_S = 30.0
POLL_S = 0.2


@pytest.fixture(scope="module")
def cluster(workspace: Workspace) -> Workspace:
    workspace.spec()
    workspace.run("plan", "cluster.yaml")
    workspace.run("apply", "cluster.yaml", "--auto-approve")
    return workspace


def test_plan_afterwards_is_a_no_op(cluster: Workspace) -> None:
    output = cluster.run("plan", "--detailed-exitcode").out
    assert output.startswith("No changes")
    assert len(output.splitlines()) == 1


def test_login_reaches_computes_through_the_frontend(cluster: Workspace) -> None:
    assert cluster.run("ssh", "trial-frontend", "--", "hostname").out.strip() == "trial-frontend"
    assert cluster.run("ssh", "trial-compute-1", "--", "hostname").out.strip() == "trial-compute-1"


def test_nodes_log_in_to_each_other_without_prompts(cluster: Workspace) -> None:
    there = cluster.run("ssh", "trial-frontend", "--", "ssh", "trial-compute-1", "hostname")
    back = cluster.run("ssh", "trial-compute-1", "--", "ssh", "trial-frontend", "hostname")
    assert (there.out.strip(), back.out.strip()) == ("trial-compute-1", "trial-frontend")


def test_computes_reach_the_outside_through_the_frontend(cluster: Workspace) -> None:
    with answering(HOST_ADDRESS) as (port, peers):
        output = cluster.run("ssh", "trial-compute-0", "--", f"nc {HOST_ADDRESS} {port} </dev/null").out
    assert output == "outside\n"
    assert peers == ["192.168.150.10"], "the frontend's public address, not the compute's private one"


def test_ansible_reaches_every_node(cluster: Workspace) -> None:
    """By ``raw``: the tiny guest has no Python."""
    (cluster.directory / "hosts.yaml").write_text(cluster.run("inventory").out)
    command = [sys.executable, "-m", "ansible", "adhoc", "-i", "hosts.yaml", "trial", "-m", "raw", "-a", "hostname"]
    done = subprocess.run(
        command,
        cwd=cluster.directory,
        env=cluster.environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=APPLY_LIMIT_S,
        check=False,
    )
    output = [line for line in done.stdout.splitlines() if line.startswith("trial-") and "|" not in line]
    assert sorted(output) == sorted(cluster.nodes()), done.stdout + done.stderr


def test_every_node_has_the_guest_contract(cluster: Workspace) -> None:
    made = {}
    for name in cluster.nodes():
        document, end, links = cluster.run("ssh", name, "--", "cat /root/vc-out.xml; ip -o link show").out.partition("</vc>")
        made[name] = read(document + end, links)
    assert not any(each.not_found for each in made.values()), "PRAGMA's reader skips these interfaces"
    assert made["trial-frontend"].machines == ["trial-compute-0", "trial-compute-1"]
    assert [len(each.interfaces) for each in made.values()] == [2, 1, 1]
    assert made["trial-compute-0"].hostname == "trial-compute-0.local"
    contract = json.loads(cluster.run("ssh", "trial-compute-1", "--", "cat", "/etc/pragmaspec/cluster.json").out)
    assert contract["version"] == 1
    assert contract["node"]["name"] == "trial-compute-1"
    hosts = cluster.run("ssh", "trial-compute-1", "--", "cat", "/etc/hosts").out
    assert all(name in hosts for name in cluster.nodes())


def test_scaling_keeps_the_addresses_of_remaining_nodes(cluster: Workspace) -> None:
    before = cluster.nodes()
    cluster.spec(computes=4)
    planned = cluster.json("plan")
    assert sorted(action["verb"] for action in planned["actions"]) == ["boot", "boot", "update", "update", "update"]
    cluster.run("apply", "--auto-approve")
    assert cluster.run("plan").out.startswith("No changes")
    grown = cluster.nodes()
    assert {name: grown[name] for name in before} == before
    assert "trial-compute-3" in cluster.run("ssh", "trial-compute-0", "--", "cat", "/etc/hosts").out

    cluster.spec(computes=1)
    assert "data loss" in cluster.run("apply", "--auto-approve", status=4).err.lower().replace("-", " ")
    cluster.run("apply", "--auto-approve", "--allow", "data-loss")
    assert cluster.run("plan").out.startswith("No changes")
    assert cluster.nodes() == {name: before[name] for name in ("trial-frontend", "trial-compute-0")}
    assert not any(name.startswith(("trial-compute-1", "trial-compute-2", "trial-compute-3")) for name in listing().volumes)


def test_new_ssh_keys_arrive_without_a_reboot(cluster: Workspace) -> None:
    began = domain("trial-frontend").ID()
    key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKHEChAIxjh0e0GjbNnGOhhBgFjp9VgwK3qyqyzDfDzC colleague"
    cluster.spec(computes=1, ssh_keys=f"[{key}]")
    actions = cluster.json("plan")["actions"]
    assert {action["verb"] for action in actions} == {"update"}
    assert {action["impact"] for action in actions} == {"live"}
    cluster.run("apply", "--auto-approve")
    assert key in cluster.run("ssh", "trial-compute-0", "--", "cat", "/root/.ssh/authorized_keys").out
    assert domain("trial-frontend").ID() == began


def test_more_memory_reboots_only_its_role(cluster: Workspace) -> None:
    frontend = domain("trial-frontend").ID()
    cluster.spec(computes=1, memory="224 MiB")
    planned = cluster.json("plan")["actions"]
    rebooted = [
        (action["verb"], action["impact"])
        for action in planned
        if "compute-0" in action["address"] and action["verb"] != "update"
    ]
    assert rebooted == [("shutdown", "reboot"), ("boot", "reboot")]
    cluster.run("apply", "--auto-approve")
    assert domain("trial-compute-0").maxMemory() == 224 * 1024
    assert domain("trial-frontend").ID() == frontend


def test_shutdown_boot_and_console(cluster: Workspace) -> None:
    cluster.run("shutdown", "trial", "--auto-approve")
    assert not domain("trial-frontend").isActive()
    assert "off" in cluster.run("status").out
    cluster.run("clean", "trial", "--target", "nothing", status=64)
    cluster.run("boot", "trial", "--auto-approve")
    assert cluster.run("ssh", "trial-compute-0", "--", "hostname").out.strip() == "trial-compute-0"
    # The guest starts ssh before it prints this, and virtlogd writes the log, which may lag on a busy host.
    until = time.monotonic() + CONSOLE_LIMIT_S
    while "tiny: ready" not in (log := cluster.run("console", "trial-compute-0", "--log").out):
        assert time.monotonic() < until, log
        time.sleep(POLL_S)


def test_removing_the_cluster_from_the_spec_leaves_nothing(cluster: Workspace) -> None:
    text = (cluster.directory / "cluster.yaml").read_text()
    (cluster.directory / "cluster.yaml").write_text(text.partition("clusters:")[0] + "clusters: {}\n")
    verbs = [action["verb"] for action in cluster.json("plan")["actions"]]
    assert verbs.count("clean") == 4
    cluster.run("apply", "--auto-approve", "--allow", "data-loss")
    assert cluster.run("plan").out.startswith("No changes")
    assert not any("trial" in name for name in (*listing().domains, *listing().networks, *listing().volumes))
