"""A Debian built from packages, on a real OpenStack: its cloud-init reads the config drive, its network is that of DHCP."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from openstack.connection import Connection

from tests.e2e.debian_image import IMAGES, build_debian
from tests.e2e.project import LIMIT_S, MARKS, give_access, remains
from tests.e2e.workspace import Workspace
from tests.guest.vc_out_reader import read
from tests.guest_images.cloud_tiny import build_cloud_tiny
from tests.labs.openstack.lab import OpenStackLab

pytestmark = MARKS

SPEC = """\
  tiny: {{source: {tiny}, format: qcow2}}
sites:
  lab: {{provider: openstack, cloud: lab-demo, zones: nova}}
clusters:
  hello:
    site: lab
    image: tiny
    readiness: ssh
    private: {{range: 10.31.0.0/16, mtu: 1450}}
    frontend: {{image: debian-12, readiness: cloud-init, cpus: 1, memory: 1 GiB}}
    computes: {{count: 1, cpus: 1, memory: 128 MiB}}
"""
"""Follows ``IMAGES``."""


OBJECTS_MIN = 12
"""Of the cluster: two servers with ports, four images, a network, a router, a security group and a floating address."""


class HelloWorkspace(Workspace):
    """A user's working directory with the cluster "hello"."""

    def on_frontend(self, command: str) -> str:
        """Return the output of a command, over ssh with the host key that was known before the first login."""
        return self.run("ssh", "hello-frontend", "--", command, limit_s=LIMIT_S).out.strip()

    def frontend_address(self) -> str:
        listed = self.json("list", "cluster", "hello")["clusters"][0]["nodes"]
        return next(node["addresses"]["public"] for node in listed if node["name"] == "hello-frontend")


@pytest.fixture(scope="module")
def hello(openstack_lab: OpenStackLab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HelloWorkspace]:
    directory = tmp_path_factory.mktemp("hello")
    workspace = HelloWorkspace(directory / "work", directory / "home", directory)
    give_access(workspace, openstack_lab)
    build_debian().give_to(workspace)
    tiny = build_cloud_tiny(Path.home() / ".cache" / "pragmaspec-tests" / "cloud-tiny")
    (workspace.directory / "cluster.yaml").write_text(IMAGES + SPEC.format(tiny=tiny), encoding="utf-8")
    workspace.run("apply", "cluster.yaml", "--auto-approve", limit_s=LIMIT_S)
    yield workspace
    workspace.run("clean", "hello", "--shutdown", "--auto-approve", limit_s=LIMIT_S)


def check_cloud_init(hello: HelloWorkspace) -> None:
    """Assert that cloud-init has finished without error, from the config drive. Readiness waited for it."""
    status = hello.on_frontend("cloud-init status --long")
    assert "status: done" in status
    assert "DataSourceConfigDrive" in status
    assert json.loads(hello.on_frontend("cat /run/cloud-init/result.json"))["v1"]["errors"] == []


def test_cloud_init_read_the_config_drive(hello: HelloWorkspace) -> None:
    check_cloud_init(hello)
    assert hello.on_frontend("hostname") == "hello-frontend"
    assert hello.on_frontend("ls /etc/ssh/ssh_host_*_key") == "/etc/ssh/ssh_host_ed25519_key"


def test_plan_afterwards_is_a_no_op(hello: HelloWorkspace) -> None:
    assert hello.run("plan", "--detailed-exitcode", limit_s=LIMIT_S).out.startswith("No changes")


def test_the_network_is_that_of_the_cloud(hello: HelloWorkspace) -> None:
    """Address, route and name server by DHCP, with the MTU of the tunnel."""
    (link,) = re.findall(r"mtu (\d+) .*state UP", hello.on_frontend("ip -o link show up"))
    assert link == "1450"
    assert "inet 10.31.0.4/16" in hello.on_frontend("ip -o -4 address show scope global")
    assert hello.on_frontend("ip route show default").startswith("default via 10.31.0.1 ")
    assert re.fullmatch(r"nameserver 10\.31\.0\.\d", hello.on_frontend("cat /etc/resolv.conf"))
    assert hello.on_frontend("getent ahostsv4 host-10-31-0-10").split()[0] == "10.31.0.10", "a name that only the cloud knows"


def test_the_guest_contract_is_complete(hello: HelloWorkspace) -> None:
    document, end, links = hello.on_frontend("cat /root/vc-out.xml; ip -o link show").partition("</vc>")
    made = read(document + end, links)
    assert made.machines == ["hello-compute-0"]
    assert not made.not_found
    assert [(interface.address, interface.mtu) for interface in made.interfaces.values()] == [("10.31.0.4", "1450")]
    contract = json.loads(hello.on_frontend("cat /etc/pragmaspec/cluster.json"))
    assert contract["node"]["name"] == "hello-frontend"
    assert [node["addresses"] for node in contract["nodes"]] == [
        {"private": "10.31.0.4", "public": hello.frontend_address()},
        {"private": "10.31.0.10"},
    ]
    hosts = hello.on_frontend("cat /etc/hosts")
    assert f"{hello.frontend_address()}\thello-frontend.public" in hosts
    assert "10.31.0.10\thello-compute-0.local hello-compute-0" in hosts


def test_nodes_log_in_to_each_other_without_prompts(hello: HelloWorkspace) -> None:
    assert hello.on_frontend("ssh hello-compute-0 hostname") == "hello-compute-0"
    back = hello.run("ssh", "hello-compute-0", "--", "ssh", "hello-frontend", "hostname", limit_s=LIMIT_S).out.strip()
    assert back == "hello-frontend"


@pytest.mark.torture
def test_a_reboot_keeps_all(hello: HelloWorkspace) -> None:
    kept = "hostname; hostname -I; cat /etc/ssh/ssh_host_ed25519_key.pub /etc/hosts /etc/resolv.conf /root/vc-out.xml"
    before, boot = hello.on_frontend(kept), hello.on_frontend("cat /proc/sys/kernel/random/boot_id")
    for verb in ("shutdown", "boot"):
        hello.run(verb, "hello", "--auto-approve", limit_s=LIMIT_S)
    assert hello.on_frontend("cat /proc/sys/kernel/random/boot_id") != boot
    assert hello.on_frontend(kept) == before
    check_cloud_init(hello)
    assert hello.run("plan", "--detailed-exitcode", limit_s=LIMIT_S).out.startswith("No changes")


def test_clean_leaves_nothing(hello: HelloWorkspace, cloud: Connection) -> None:
    assert len(remains(cloud, hello)) >= OBJECTS_MIN
    hello.run("clean", "hello", "--shutdown", "--auto-approve", limit_s=LIMIT_S)
    assert remains(cloud, hello) == []
