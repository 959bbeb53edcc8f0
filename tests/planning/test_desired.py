"""Desired resources of an expanded spec."""

import re

from msgspec.structs import replace

from pragmaspec.planning.desired import RecordedCluster, desired_images, desired_nodes, mac_address
from pragmaspec.planning.request import PlanRequest
from pragmaspec.planning.wanted import WantedCluster, WantedNetwork, WantedPublic
from pragmaspec.resources import Allocation, Nic, Node
from tests.planning.builders import GIB, LINEAGE, applied_state, cluster, image, line, nodes, planned, wanted


def made(asked: WantedCluster) -> dict[str, Node]:
    return {each.resource.name: each.resource for each in planned(wanted(asked)).actions if each.verb == "boot"}


def test_mac_is_deterministic_local_and_unique() -> None:
    mac = mac_address(LINEAGE, "lab/hello/node/hello-frontend", "private")
    assert mac == mac_address(LINEAGE, "lab/hello/node/hello-frontend", "private")
    assert re.fullmatch(r"52(:[0-9a-f]{2}){5}", mac)
    assert mac != mac_address(LINEAGE, "lab/hello/node/hello-frontend", "public")


def test_frontend_has_the_first_private_and_the_public_address() -> None:
    private, public = made(cluster())["hello-frontend"].nics
    assert (private.address, private.prefix, private.gateway, private.segment) == ("10.20.0.1", 16, None, "vlan 20")
    assert (public.address, public.prefix, public.gateway, public.dns, public.segment) == (
        "192.168.122.10",
        24,
        "192.168.122.1",
        ("192.168.122.1",),
        "network default",
    )


def test_computes_route_through_the_frontend() -> None:
    (nic,) = made(cluster(mtu=9000))["hello-compute-1"].nics
    assert nic == Nic(
        network="private",
        mac=nic.mac,
        address="10.20.0.11",
        prefix=16,
        gateway="10.20.0.1",
        dns=("192.168.122.1",),
        mtu=9000,
        segment="vlan 20",
    )


def test_cluster_without_a_public_address_has_no_gateway() -> None:
    booted = made(cluster(public=WantedPublic(kind="none")))
    assert [nic.network for nic in booted["hello-frontend"].nics] == ["private"]
    assert booted["hello-compute-0"].nics[0].gateway is None


def test_extra_networks_attach_to_their_roles() -> None:
    networks = (
        WantedNetwork(name="storage", cidr="192.168.70.0/24", roles=("compute",)),
        WantedNetwork(name="lan", cidr="10.99.0.0/24", bridge="br-lan", roles=("frontend",)),
    )
    booted = made(cluster(networks=networks))
    assert [(nic.network, nic.address, nic.segment) for nic in booted["hello-frontend"].nics[1:2]] == [
        ("lan", "10.99.0.1", "bridge br-lan")
    ]
    assert [(nic.network, nic.address, nic.segment) for nic in booted["hello-compute-1"].nics[1:]] == [
        ("storage", "192.168.70.11", "vlan 21")
    ]


def test_roles_differ_in_image_size_and_settings() -> None:
    asked = replace(
        cluster(computes=nodes(1, cpus=4, memory_mib=8192, of="debian-13", packages=("openmpi-bin",))),
        frontend=nodes(1, disk_bytes=40 * GIB),
    )
    spec = wanted(asked, images=(image(), image("debian-13", virtual_gib=8)))
    frontend, compute = (each.resource for each in planned(spec).actions if each.verb == "boot")
    assert (frontend.image, frontend.disk_bytes) == (image().digest, 40 * GIB)
    assert (compute.image, compute.disk_bytes) == (image("debian-13").digest, 8 * GIB)
    assert (compute.cpus, compute.memory_mib) == (4, 8192)
    assert frontend.first_boot != compute.first_boot
    assert frontend.keys == compute.keys
    assert frontend.peers == compute.peers


def test_nodes_are_frontend_first_with_their_spec_lines() -> None:
    asked = cluster(computes=3)
    allocation = next(each.resource for each in planned(wanted(asked)).actions if each.verb == "allocate")
    assert isinstance(allocation, Allocation)
    found = desired_nodes(wanted(asked), asked, allocation, running=True, recorded=RecordedCluster(LINEAGE))
    assert [each.resource.name for each in found] == ["hello-frontend", *(f"hello-compute-{index}" for index in range(3))]
    assert [each.where for each in found] == [line(11), line(12), line(12), line(12)]


def test_segment_of_a_network_without_vlan_or_bridge_is_its_name() -> None:
    asked = cluster(computes=0)
    allocation = next(each.resource for each in planned(wanted(asked)).actions if each.verb == "allocate")
    plain = replace(
        allocation,
        networks=(replace(allocation.private, vlan=None),),
        public=(replace(allocation.public[0], network=None),),
    )
    (frontend,) = desired_nodes(wanted(asked), asked, plain, running=True, recorded=RecordedCluster(LINEAGE))
    assert [nic.segment for nic in frontend.resource.nics] == ["network private", ""]


def test_images_are_staged_once_per_site_that_boots_them() -> None:
    spec = wanted(
        cluster("b", frontend=nodes(1, of="other-name")),
        cluster("a", computes=nodes(0, of="unused")),
        images=(image(), image("other-name", digest_of="debian-12"), image("unused")),
    )
    assert [each.resource.name for each in desired_images(spec, PlanRequest())] == ["debian-12"]
    assert [each.resource.name for each in desired_images(spec, PlanRequest(drop=("a",)))] == ["other-name"]


def test_nodes_without_cloud_init_are_ready_after_the_login() -> None:
    plain = replace(image("centos7"), cloud_init=False)
    asked = cluster(computes=nodes(1, of="centos7"))
    spec = replace(wanted(asked), images=(image(), plain))
    found = {each.resource.name: each.resource for each in planned(spec).actions if each.verb == "boot"}
    frontend, compute = found["hello-frontend"], found["hello-compute-0"]
    assert (frontend.cloud_init, frontend.readiness.when) == (True, "cloud-init")
    assert (compute.cloud_init, compute.readiness.when) == (False, "ssh")
    unwatched = replace(asked, readiness=replace(asked.readiness, when="none"))
    spec = replace(spec, clusters=(unwatched,))
    assert {each.resource.readiness.when for each in planned(spec).actions if each.verb == "boot"} == {"none"}
    state = applied_state(unwatched, images=spec.images)
    otherwise = planned(replace(spec, images=(image(), image("centos7"))), state)
    assert [(each.resource.name, each.impact, each.reason) for each in otherwise.actions if each.verb == "boot"] == [
        ("hello-compute-0", "rebuild", "guest configuration method changed")
    ]
