"""Properties of the guest contract for arbitrary clusters."""

import json
from ipaddress import IPv4Address, ip_network
from xml.etree import ElementTree as ET

from hypothesis import given, settings
from hypothesis import strategies as st

from pragmaspec.guest.contract.cluster import GuestCluster
from pragmaspec.guest.contract.cluster_json import cluster_json_text, shared_json
from pragmaspec.guest.contract.members import fqdn, hosts_text, known_hosts_text, members
from pragmaspec.guest.contract.vc_out import vc_out_text
from pragmaspec.resources import Allocation, Network, Nic, Node, PublicGrant

LABEL = st.from_regex(r"[a-z]([a-z0-9-]{0,14}[a-z0-9])?", fullmatch=True)


@st.composite
def clusters(draw: st.DrawFn) -> GuestCluster:
    """Generate clusters with valid names and addresses."""
    name, domain = draw(LABEL), draw(st.one_of(LABEL, st.just("public"), st.just("lan.example.org")))
    extra = draw(st.lists(LABEL.filter(lambda label: label not in ("private", "public")), unique=True, max_size=2))
    addresses = iter(range(draw(st.integers(1, 2**32 - 64)), 2**32))
    count, public = draw(st.integers(0, 4)), draw(st.booleans())

    def nics(with_public: bool) -> tuple[Nic, ...]:
        networks = ["private", *extra, *(["public"] if with_public else [])]
        return tuple(
            Nic(network=network, mac="52:54:00:00:00:00", address=str(IPv4Address(next(addresses))), prefix=24)
            for network in networks
        )

    def node(index: int | None) -> Node:
        role = "frontend" if index is None else "compute"
        return Node(
            site="lab",
            cluster=name,
            name=f"{name}-{role}" + ("" if index is None else f"-{index}"),
            role=role,
            index=index or 0,
            cpus=draw(st.integers(1, 9)),
            memory_mib=1,
            disk_bytes=1,
            image="",
            nics=nics(public and index is None),
        )

    nodes = (node(None), *(node(index) for index in range(count)))
    reverse = draw(st.one_of(st.none(), st.just("vc1.example.org"), st.just(f"{name}-frontend.{domain}")))
    granted = PublicGrant(node=nodes[0].name, address="192.0.2.1", prefix=24, fqdn=reverse)
    return GuestCluster(
        allocation=Allocation(
            site="lab",
            cluster=name,
            networks=(Network(name="private", cidr="10.0.0.0/8"),),
            public=(granted,) if public else (),
        ),
        nodes=nodes,
        domain=domain,
        ssh_keys=(),
        spec_sha256="",
        lineage="",
    )


def parsed(hosts: str) -> list[tuple[str, list[str]]]:
    lines = [line.split() for line in hosts.splitlines() if line and not line.startswith("#")]
    return [(line[0], line[1:]) for line in lines]


@settings(deadline=None)
@given(clusters())
def test_hosts_lists_every_node_once_with_unique_names(cluster: GuestCluster) -> None:
    entries = parsed(hosts_text(members(cluster)))
    names = [name for _, found in entries[4:] for name in found]
    assert len(names) == len(set(names))
    for node in cluster.nodes:
        own = [address for address, found in entries if node.name in found]
        assert own == [node.nics[0].address]
        assert f"{node.name}.{cluster.domain}" in names
        assert names.count(fqdn(node, cluster)) == 1


@settings(deadline=None)
@given(clusters())
def test_known_hosts_has_a_line_per_node_with_all_names_and_addresses(cluster: GuestCluster) -> None:
    found = members(cluster)
    lines = known_hosts_text(found, lambda node: f"ssh-ed25519 {node.index}{node.role}").splitlines()
    assert len(lines) == len(cluster.nodes)
    for line, node, member in zip(lines, cluster.nodes, found, strict=True):
        names, key = line.split(" ", 1)
        assert key == f"ssh-ed25519 {node.index}{node.role}"
        assert names.split(",")[0] == node.name
        assert {address for address, _ in member.names} <= set(names.split(","))


@settings(deadline=None)
@given(clusters())
def test_cluster_json_is_valid_and_lists_every_node(cluster: GuestCluster) -> None:
    host_keys = {node.name: "k" for node in cluster.nodes}
    shared = shared_json(cluster, members(cluster), {}, host_keys)
    for node in cluster.nodes:
        document = json.loads(cluster_json_text(node, cluster, shared))
        assert document["version"] == 1
        assert document["node"]["name"] == node.name
        assert [peer["name"] for peer in document["nodes"]] == [peer.name for peer in cluster.nodes]


@settings(deadline=None)
@given(clusters())
def test_vc_out_can_be_parsed_back(cluster: GuestCluster) -> None:
    for node in cluster.nodes:
        root = ET.fromstring(vc_out_text(node, cluster, "ssh-ed25519 AAAA <me>"))
        assert [child.tag for child in root] == ["frontend", "compute", "network", "key"]
        assert root.findtext("key") == "ssh-ed25519 AAAA <me>"
        # vc-out-parser distinguishes the roles by this element.
        assert (root.find("./compute/private") is not None) == (node.role == "compute")
        element = root.find("frontend" if node.role == "frontend" else "compute")
        assert element is not None
        assert element.get("name") == node.name
        assert_interfaces(element, node)
        if node.role == "frontend":
            peers = root.findall("./compute/node")
            for peer, described in zip(cluster.nodes[1:], peers, strict=True):
                assert (described.get("name"), described.get("cpus")) == (peer.name, str(peer.cpus))
                assert_interfaces(described, peer)
        for some in root.iter():
            assert list(some.attrib) == sorted(some.attrib)


def assert_interfaces(element: ET.Element, node: Node) -> None:
    """Check the attributes that vc-out-parser and dynip read: ip, netmask, mac."""
    assert sorted(child.tag for child in element) == sorted(nic.network for nic in node.nics)
    for child in element:
        nic = node.nic(child.tag)
        assert nic is not None
        assert (child.get("ip"), child.get("mac"), child.get("mtu")) == (nic.address, nic.mac, str(nic.mtu))
        assert ip_network(f"{child.get('subnet')}/{child.get('netmask')}").prefixlen == nic.prefix
