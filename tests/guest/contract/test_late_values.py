"""The guest contract before the site has chosen the addresses of all members."""

import json
import subprocess
from collections.abc import Callable

from msgspec.structs import replace

from pragmaspec.guest.contract.cluster import GuestCluster
from pragmaspec.guest.contract.files import CONTRACT_JSON, HOSTS, KNOWN_HOSTS, VC_OUT, contract_files
from pragmaspec.guest.interfaces import network_config
from pragmaspec.guest.keys import StackKey
from pragmaspec.guest.setup.nat import nat_script
from pragmaspec.resources import Node


def unknown(node: Node, *fields: str) -> Node:
    return replace(node, nics=tuple(replace(nic, **dict.fromkeys(fields, "")) for nic in node.nics))


def test_files_leave_out_what_is_unknown(cluster_of: Callable[..., GuestCluster], stack_key: StackKey) -> None:
    whole = cluster_of()
    cluster = cluster_of(nodes=(whole.nodes[0], unknown(whole.nodes[1], "mac", "address"), whole.nodes[2]))
    files = {file.path: file.content for file in contract_files(cluster.nodes[1], cluster, stack_key)}
    assert "hello-compute-0" not in files[HOSTS] + files[KNOWN_HOSTS]
    assert "hello-compute-1" in files[HOSTS]
    described = json.loads(files[CONTRACT_JSON])
    assert (described["node"]["interfaces"][0]["mac"], described["node"]["interfaces"][0]["address"]) == (None, None)
    assert [node["addresses"]["private"] for node in described["nodes"]] == ["10.22.0.1", None, "10.22.0.11"]
    assert '<private ip="" mac="" mtu="1500" netmask="255.255.0.0" subnet=""/>' in files[VC_OUT]


def test_interfaces_are_configured_by_dhcp_where_the_site_chooses(cluster: GuestCluster) -> None:
    frontend = cluster.frontend
    assert network_config(unknown(frontend, "mac", "address"), cluster) == {
        "version": 2,
        "ethernets": {"all": {"match": {"name": "e*"}, "dhcp4": True}},
    }
    found = network_config(unknown(frontend, "address"), cluster)["ethernets"]
    assert found == {
        "private": {"match": {"macaddress": "52:54:00:ff:00:00"}, "dhcp4": True, "mtu": 1500},
        "public": {"match": {"macaddress": "52:54:00:ff:00:01"}, "dhcp4": True, "mtu": 1500},
    }


def test_a_gateway_without_a_known_mac_is_found_by_its_route(cluster: GuestCluster) -> None:
    script = nat_script(unknown(cluster.frontend, "mac"), cluster) or ""
    assert "/proc/net/route" in script
    assert "public_mac" not in script
    assert "@" not in script
    subprocess.run(["sh", "-n"], input=script, text=True, check=True)
