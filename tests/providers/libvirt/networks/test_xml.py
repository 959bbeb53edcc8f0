"""The XML for each kind of network: golden files that are valid for libvirt's schema."""

import subprocess
from pathlib import Path

import pytest

from pragmaspec.providers.libvirt.metadata import network_name, network_owner
from pragmaspec.providers.libvirt.networks.xml import (
    NetworkConfig,
    address_claim_config,
    attachment,
    bridge_name,
    dhcp_host_xml,
    network_config,
    network_xml,
)
from pragmaspec.providers.libvirt.xml import parse
from pragmaspec.resources import Allocation, Mark, Network

MARK = Mark(lineage="3f9a1c2b-7d44-4e0a-9a51-0c6d2be1f7aa", address="lab/hello/allocation")
NETWORKS = {
    "isolated-with-a-number": Network(name="private", cidr="10.22.0.0/16", vlan=22),
    "isolated-with-jumbo-frames": Network(name="storage", cidr="10.23.0.0/16", vlan=23, mtu=9000),
    "on-the-bridge-of-its-number": Network(name="private", cidr="10.22.0.0/16", vlan=22, bridge="br22"),
    "without-a-number": Network(name="private", cidr="10.22.0.0/16"),
}
CASES = Path(__file__).parents[3] / "cases" / "network_xml"


def allocation(network: Network) -> Allocation:
    return Allocation(site="lab", cluster="hello", networks=(network,))


def config_of(case: str) -> NetworkConfig:
    if case == "claim-of-an-address":
        return address_claim_config("192.0.2.10", MARK)
    config = network_config(allocation(NETWORKS[case]), NETWORKS[case], MARK)
    assert config is not None
    return config


@pytest.mark.parametrize("case", [*NETWORKS, "claim-of-an-address"])
def test_xml_matches_the_golden_file(case, golden):
    golden(CASES / f"{case}.xml", network_xml(config_of(case)))


@pytest.mark.parametrize("case", [*NETWORKS, "claim-of-an-address"])
def test_xml_is_valid_for_libvirts_schema(case):
    done = subprocess.run(
        ["virt-xml-validate", CASES / f"{case}.xml", "network"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("case", NETWORKS)
def test_owner_and_label_of_a_network_are_read_back(case):
    root = parse(network_xml(config_of(case)))
    owner = network_owner(root)
    assert owner is not None
    assert owner.is_for(MARK)
    assert network_name(root) == NETWORKS[case].name


def test_a_foreign_network_has_no_owner():
    root = parse("<network><name>default</name><portgroup name='fast'/></network>")
    assert (network_owner(root), network_name(root)) == (None, "")


def test_a_bridge_without_a_vlan_needs_no_libvirt_network():
    network = Network(name="storage", cidr="10.9.0.0/16", bridge="br-storage")
    assert network_config(allocation(network), network, MARK) is None
    assert attachment(allocation(network), network, MARK) == (None, "br-storage")


def test_bridge_names_have_at_most_15_characters():
    name = bridge_name(config_of("isolated-with-a-number").uuid)
    assert name.startswith("ps")
    assert len(name) == 12


def test_networks_with_different_vlans_have_different_uuids():
    uuids = {config_of(case).uuid for case in ("isolated-with-a-number", "isolated-with-jumbo-frames", "without-a-number")}
    assert len(uuids) == 3


def test_a_dhcp_entry_contains_node_and_address():
    root = parse(dhcp_host_xml("hello-frontend.3f9a1c2b", "192.0.2.10"))
    assert root.attrib == {"name": "hello-frontend.3f9a1c2b", "ip": "192.0.2.10"}
