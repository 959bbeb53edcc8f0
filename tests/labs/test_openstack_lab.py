"""The lab itself: its services answer, it is started once, and servers learn from it what pragmaspec tells them."""

import fcntl
from pathlib import Path

import pytest
import requests

from pragmaspec.guest.cloud_init.limited import limited_user_data
from pragmaspec.guest.contract.cluster import GuestSettings
from pragmaspec.guest.contract.files import contract_files
from pragmaspec.guest.keys import StackKey, host_key, operator_key
from tests.guest.conftest import make_cluster
from tests.labs.openstack import servers
from tests.labs.openstack.lab import OpenStackLab

pytestmark = pytest.mark.openstack
SERVICES = {"identity", "compute", "image", "network", "placement", "volumev3", "ec2"}
USER_DATA_LIMIT = 49_151


def test_all_services_answer(openstack_lab: OpenStackLab) -> None:
    demo = servers.account(openstack_lab)
    assert set(demo.urls) >= SERVICES
    assert {flavor["name"] for flavor in demo.get("compute", "/flavors")["flavors"]} >= {"tiny", "small", "huge"}
    made = demo.post("volumev3", "/volumes", {"volume": {"name": "trial", "size": 1}})["volume"]["id"]
    servers.wait_for(lambda: demo.get("volumev3", f"/volumes/{made}")["volume"]["status"] == "available", "the volume is made")
    demo.delete("volumev3", f"/volumes/{made}")
    servers.wait_for(lambda: all(each["id"] != made for each in demo.get("volumev3", "/volumes")["volumes"]), "it is deleted")
    without_signature = requests.get(openstack_lab.ec2_url, timeout=60)
    assert without_signature.status_code == requests.codes.bad_request
    assert "Signature not provided" in without_signature.text


def test_networks_and_image_are_those_of_the_readme(openstack_lab: OpenStackLab) -> None:
    admin = servers.account(openstack_lab, "admin")
    ranges = {subnet["name"]: subnet["cidr"] for subnet in admin.get("network", "/v2.0/subnets")["subnets"]}
    assert {"public": str(openstack_lab.public), "campus": str(openstack_lab.campus)}.items() <= ranges.items()
    (image,) = admin.get("image", "/v2/images?name=tiny")["images"]
    assert (image["status"], image["visibility"]) == ("active", "public")


def test_files_with_credentials_are_private(openstack_lab: OpenStackLab) -> None:
    clouds = openstack_lab.clouds_file.read_text(encoding="utf-8")
    assert clouds.count(openstack_lab.auth_url) == len(["demo", "other", "admin"])
    for file in (openstack_lab.clouds_file, openstack_lab.directory / "ec2.env"):
        assert file.stat().st_mode & 0o077 == 0


def test_a_second_start_finds_the_lab_up(openstack_lab: OpenStackLab) -> None:
    pid = (openstack_lab.directory / "lab.pid").read_text(encoding="utf-8")
    assert "up already" in openstack_lab.run("up")
    assert (openstack_lab.directory / "lab.pid").read_text(encoding="utf-8") == pid


def test_a_lab_in_use_is_not_stopped(openstack_lab: OpenStackLab) -> None:
    with (openstack_lab.directory / "users").open("a") as users:
        fcntl.flock(users, fcntl.LOCK_SH)
        assert openstack_lab.run("down", "unused") == "in use\n"
    assert openstack_lab.run("status").startswith("up\n")


@pytest.mark.parametrize("config_drive", [True, False], ids=["config-drive", "metadata-service"])
def test_a_server_has_the_host_key_and_files_of_its_user_data(
    openstack_lab: OpenStackLab, tmp_path: Path, config_drive: bool
) -> None:
    stack_key, cluster = StackKey(bytes(range(32))), make_cluster(2)
    node = cluster.nodes[1]
    content = limited_user_data(node, cluster, GuestSettings(), stack_key, USER_DATA_LIMIT).content
    identity, known_hosts = tmp_path / "identity", tmp_path / "known_hosts"
    identity.touch(0o600)
    identity.write_text(operator_key(stack_key).private, encoding="utf-8")
    demo = servers.account(openstack_lab)
    with servers.security_group(demo) as group, servers.server(demo, group, content, config_drive=config_drive) as server:
        host = servers.address(demo, server)
        known_hosts.write_text(f"{host} {host_key(stack_key, cluster.mark(node.address)).public}\n", encoding="utf-8")
        files = contract_files(node, cluster, stack_key)
        shown = servers.ssh(identity, known_hosts, host, f"hostname; cat {' '.join(file.path for file in files)}")
        assert shown == "".join([f"{node.name}\n", *(file.content for file in files)])
        where = "config drive" if config_drive else "metadata service"
        servers.wait_for(lambda: f"tiny: ready {node.name}" in servers.console(demo, server), "the guest is ready")
        assert f"tiny: data from {where}" in servers.console(demo, server)
        demo.post("compute", f"/servers/{server}/action", {"os-stop": None})
        servers.wait_for(lambda: servers.state(demo, server) == "SHUTOFF", "the server is off")
        assert "tiny: power button" in openstack_lab.run("console", server)
