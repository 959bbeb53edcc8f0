"""The complete workflow on a real OpenStack with real guests: plan, apply, log in, change, damage by hand, repair, clean."""

from collections.abc import Callable
from pathlib import Path

import openstack
import pytest
from openstack.connection import Connection

from tests.e2e.project import LIMIT_S, MARKS, give_access
from tests.e2e.workspace import Workspace, answering
from tests.guest.vc_out_reader import read
from tests.guest_images.cloud_tiny import build_cloud_tiny
from tests.labs.openstack.lab import OpenStackLab
from tests.serial_console import use_shell_by_command

pytestmark = MARKS

SPEC = """\
images:
  tiny: {{source: {image}, format: qcow2}}
sites:
  lab: {{provider: openstack, cloud: lab-demo, zones: nova}}
clusters:
  trial:
    site: lab
    image: tiny
    readiness: ssh
    frontend:
      cpus: 1
      memory: 128 MiB
      disks:
        scratch: {{size: {size}, format: none}}
        data: {{size: {size}, format: none, keep: true}}
    computes: {{count: {computes}, cpus: 1, memory: 128 MiB}}
"""


class CloudWorkspace(Workspace):
    """A user's working directory with the credentials of the project ``demo``."""

    lab: OpenStackLab
    disk: Path

    def write(self, computes: int, size: str = "1 GiB") -> None:
        text = SPEC.format(image=self.disk, computes=computes, size=size)
        (self.directory / "cluster.yaml").write_text(text, encoding="utf-8")

    def on_frontend(self, script: str) -> str:
        """Return the output of ``script``, in which ``$disks`` begins the paths of further disks."""
        command = f"disks=/dev/disk/by-id/pragmaspec-; {script}"
        return self.run("ssh", "trial-frontend", "--", command, limit_s=LIMIT_S).out.strip()

    def apply(self, *options: str) -> str:
        return self.run("apply", "cluster.yaml", "--auto-approve", *options, limit_s=LIMIT_S).out

    def drift(self) -> str:
        return self.run("plan", "cluster.yaml", limit_s=LIMIT_S).out

    def addresses(self) -> dict[str, str | None]:
        listed = self.json("list", "cluster", "trial")
        return {node["name"]: node["addresses"].get("public") for node in listed["clusters"][0]["nodes"]}


@pytest.fixture(scope="module")
def cluster(openstack_lab: OpenStackLab, tmp_path_factory: pytest.TempPathFactory) -> CloudWorkspace:
    directory = tmp_path_factory.mktemp("cloud")
    found = CloudWorkspace(directory / "work", directory / "home", directory)
    found.lab = openstack_lab
    give_access(found, openstack_lab)
    found.disk = build_cloud_tiny(Path.home() / ".cache" / "pragmaspec-tests" / "cloud-tiny")
    found.write(2)
    found.apply()
    return found


def test_plan_afterwards_is_a_no_op(cluster: CloudWorkspace) -> None:
    assert cluster.run("plan", "--detailed-exitcode", limit_s=LIMIT_S).out.startswith("No changes")


def test_login_reaches_computes_through_the_floating_address(cluster: CloudWorkspace) -> None:
    """The host keys were known before the first login."""
    assert cluster.run("ssh", "trial-frontend", "--", "hostname").out.strip() == "trial-frontend"
    assert cluster.run("ssh", "trial-compute-1", "--", "hostname").out.strip() == "trial-compute-1"
    there = cluster.run("ssh", "trial-compute-0", "--", "ssh", "trial-frontend", "hostname")
    assert there.out.strip() == "trial-frontend"


def test_guests_know_their_cluster(cluster: CloudWorkspace) -> None:
    document, end, links = cluster.run("ssh", "trial-frontend", "--", "cat /root/vc-out.xml; ip -o link show").out.partition(
        "</vc>"
    )
    made = read(document + end, links)
    assert made.machines == ["trial-compute-0", "trial-compute-1"]
    assert not made.not_found
    assert [interface.address for interface in made.interfaces.values()] == ["10.0.0.4"], "a floating address is no interface"
    hosts = cluster.run("ssh", "trial-compute-0", "--", "cat", "/etc/hosts").out
    assert f"{cluster.addresses()['trial-frontend']}\ttrial-frontend.public" in hosts


def test_disks_have_their_names_and_grow_while_the_node_runs(cluster: CloudWorkspace) -> None:
    size = 'for name in scratch data; do device=$(readlink -f "$disks$name"); cat "/sys/block/${device##*/}/size"; done'
    gib = 2**30 // 512
    assert cluster.on_frontend(size).split() == [str(gib)] * 2
    started = cluster.on_frontend('for name in scratch data; do echo kept | dd of="$disks$name"; done; sync; date -r /proc/1')
    cluster.write(2, "2 GiB")
    cluster.apply()
    assert cluster.on_frontend(size).split() == [str(2 * gib)] * 2
    assert cluster.on_frontend("date -r /proc/1") == started.splitlines()[-1], "the node kept running"
    assert cluster.drift().startswith("No changes")


def test_the_console_is_a_terminal(cluster: CloudWorkspace) -> None:
    use_shell_by_command(cluster.command("console", "trial-compute-0"), cluster.directory, cluster.environment)
    assert "42 answers" in cluster.run("console", "trial-compute-0", "--log").out


def test_computes_reach_the_outside_through_the_router(cluster: CloudWorkspace) -> None:
    outside = str(cluster.lab.public[254])
    with answering(outside) as (port, peers):
        output = cluster.run("ssh", "trial-compute-0", "--", f"nc {outside} {port} </dev/null").out
    assert output == "outside\n"
    assert peers != [cluster.addresses()["trial-frontend"]], "the router's address, not the frontend's"


def test_a_cluster_grows_and_shrinks(cluster: CloudWorkspace, cloud: Connection) -> None:
    cluster.write(3, "2 GiB")
    cluster.apply()
    assert cluster.run("ssh", "trial-compute-0", "--", "ssh", "trial-compute-2", "hostname").out.strip() == "trial-compute-2"
    cluster.write(1, "2 GiB")
    cluster.apply("--allow", "data-loss")
    assert servers(cloud) == {"trial-frontend", "trial-compute-0"}
    assert "compute-1" not in cluster.run("ssh", "trial-frontend", "--", "cat", "/etc/hosts").out


def servers(cloud: Connection) -> set[str]:
    return {server.name for server in cloud.compute.servers() if server.name.startswith("trial-")}


def delete_compute(cloud: Connection) -> None:
    server = cloud.compute.find_server("trial-compute-0", ignore_missing=False)
    cloud.compute.delete_server(server)
    cloud.compute.wait_for_delete(server)


def pause_compute(cloud: Connection) -> None:
    server = cloud.compute.find_server("trial-compute-0", ignore_missing=False)
    cloud.compute.pause_server(server)
    cloud.compute.wait_for_server(server, status="PAUSED")


def detach_address(cloud: Connection) -> None:
    (address,) = own_addresses(cloud)
    cloud.network.update_ip(address, port_id=None)


def delete_address(cloud: Connection) -> None:
    (address,) = own_addresses(cloud)
    cloud.network.delete_ip(address)


def own_addresses(cloud: Connection) -> list[openstack.network.v2.floating_ip.FloatingIP]:
    return [address for address in cloud.network.ips() if "/trial/allocation" in (address.description or "")]


def remove_rule(cloud: Connection) -> None:
    group = cloud.network.find_security_group("trial", ignore_missing=False)
    rule = next(each for each in group.security_group_rules if each["protocol"] == "tcp")
    cloud.network.delete_security_group_rule(rule["id"])


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (delete_compute, "is gone from the site"),
        (pause_compute, "is paused"),
        (detach_address, "is detached"),
        (delete_address, "has lost public address"),
        (remove_rule, "lacks the rule tcp 22"),
    ],
)
def test_damage_by_hand_is_drift_and_repaired(
    cluster: CloudWorkspace, cloud: Connection, damage: Callable[[Connection], None], words: str
) -> None:
    damage(cloud)
    assert words in " ".join(cluster.drift().split())
    cluster.apply()
    assert cluster.drift().startswith("No changes")
    assert cluster.run("ssh", "trial-compute-0", "--", "hostname", limit_s=LIMIT_S).out.strip() == "trial-compute-0"


def test_a_cluster_is_shut_down_and_booted(cluster: CloudWorkspace, cloud: Connection) -> None:
    cluster.run("shutdown", "trial", "--auto-approve", limit_s=LIMIT_S)
    assert {server.status for server in cloud.compute.servers() if server.name.startswith("trial-")} == {"SHUTOFF"}
    cluster.run("boot", "trial", "--auto-approve", limit_s=LIMIT_S)
    assert cluster.run("ssh", "trial-frontend", "--", "hostname").out.strip() == "trial-frontend"


def test_clean_leaves_nothing(cluster: CloudWorkspace, cloud: Connection) -> None:
    cluster.run("clean", "trial", "--shutdown", "--auto-approve", limit_s=LIMIT_S)
    assert servers(cloud) == set()
    found = (*cloud.network.networks(), *cloud.network.routers(), *cloud.network.security_groups(), *cloud.network.ips())
    assert [each.description for each in found if "/trial/allocation" in (each.description or "")] == []
    assert [image.name for image in cloud.image.images(tag="pragmaspec") if image.name == "tiny"] == []
    assert volumes(cloud) == {"trial-frontend-data"}, "only the kept volume"


def volumes(cloud: Connection) -> set[str]:
    return {volume.name for volume in cloud.block_storage.volumes() if volume.name.startswith("trial-")}


def test_the_next_cluster_finds_the_kept_volume(cluster: CloudWorkspace, cloud: Connection) -> None:
    cluster.write(0, "2 GiB")
    cluster.apply()
    assert cluster.on_frontend('head -c 4 "${disks}data"; head -c 4 "${disks}scratch" | tr -d "\\000"') == "kept"
    options = ("--shutdown", "--volumes", "--allow", "data-loss", "--auto-approve")
    cluster.run("clean", "trial", *options, limit_s=LIMIT_S)
    assert volumes(cloud) == set()
