from xml.etree import ElementTree as ET

import pytest
from msgspec.structs import replace

from pragmaspec.errors import SpecError
from pragmaspec.guest.contract.cluster import GuestCluster
from pragmaspec.guest.contract.vc_out import vc_out_text
from pragmaspec.resources import Allocation, Network, Nic, Node, PublicGrant
from tests.guest.vc_out_reader import Configuration, Interface, read

# Written by pragma_boot, the predecessor, for a frontend and its first compute at a real Rocks site.
FRONTEND = """\
<?xml version="1.0" ?>
<vc>
  <frontend fqdn="vc1.example.org" gw="203.0.113.1" name="vc1">
    <private ip="10.1.1.1" mac="7a:77:6e:40:00:00" mtu="1500" netmask="255.255.0.0" subnet="10.1.0.0"/>
    <public ip="203.0.113.10" mac="7a:77:6e:40:00:01" mtu="1500" netmask="255.255.255.0" subnet="203.0.113.0"/>
  </frontend>
  <compute count="2">
    <node cpus="14" gw="10.1.1.1" name="compute-0">
      <private ip="10.1.255.254" mac="7a:77:6e:40:00:02" mtu="1500" netmask="255.255.0.0" subnet="10.1.0.0"/>
    </node>
    <node cpus="4" gw="10.1.1.1" name="compute-1">
      <private ip="10.1.255.253" mac="7a:77:6e:40:00:03" mtu="1500" netmask="255.255.0.0" subnet="10.1.0.0"/>
    </node>
  </compute>
  <network>
    <dns domain="" ip="8.8.8.8" search="local"/>
  </network>
  <key>ssh-rsa AAAAB3 root@x</key>
</vc>
"""
COMPUTE = """\
<?xml version="1.0" ?>
<vc>
  <frontend fqdn="vc1.example.org"/>
  <compute gw="10.1.1.1" name="compute-0">
    <private ip="10.1.255.254" mac="7a:77:6e:40:00:02" mtu="1500" netmask="255.255.0.0" subnet="10.1.0.0"/>
  </compute>
  <network>
    <dns domain="" ip="8.8.8.8" search="local"/>
  </network>
  <key>ssh-rsa AAAAB3 root@x</key>
</vc>
"""


def rocks_node(name: str, cpus: int, *nics: Nic) -> Node:
    return Node(
        site="rocks",
        cluster="vc1",
        name=name,
        role="compute" if "compute" in name else "frontend",
        index=int(name[-1]) if "compute" in name else 0,
        cpus=cpus,
        memory_mib=1024,
        disk_bytes=0,
        image="ab" * 32,
        nics=nics,
    )


def rocks_cluster() -> GuestCluster:
    dns = ("8.8.8.8",)
    public = Nic(network="public", mac="7a:77:6e:40:00:01", address="203.0.113.10", prefix=24, gateway="203.0.113.1", dns=dns)
    private = Nic(network="private", mac="7a:77:6e:40:00:00", address="10.1.1.1", prefix=16)
    first = Nic(network="private", mac="7a:77:6e:40:00:02", address="10.1.255.254", prefix=16, gateway="10.1.1.1", dns=dns)
    second = Nic(network="private", mac="7a:77:6e:40:00:03", address="10.1.255.253", prefix=16, gateway="10.1.1.1", dns=dns)
    return GuestCluster(
        allocation=Allocation(
            site="rocks",
            cluster="vc1",
            networks=(Network(name="private", cidr="10.1.0.0/16"),),
            public=(PublicGrant(node="vc1", address="203.0.113.10", prefix=24, fqdn="vc1.example.org"),),
        ),
        # The public interface is first, to check that the output uses PRAGMA's order.
        nodes=(rocks_node("vc1", 1, public, private), rocks_node("compute-0", 14, first), rocks_node("compute-1", 4, second)),
        domain="local",
        ssh_keys=(),
        spec_sha256="",
        lineage="",
    )


def test_the_output_equals_the_predecessors() -> None:
    cluster = rocks_cluster()
    assert vc_out_text(cluster.nodes[0], cluster, "ssh-rsa AAAAB3 root@x\n") == FRONTEND
    assert vc_out_text(cluster.nodes[1], cluster, "ssh-rsa AAAAB3 root@x\n") == COMPUTE


def links_of(node: Node, order: int = 1) -> str:
    """Return the output of ``ip -o link show`` on ``node``, with its interfaces in order, or reversed (-1)."""
    line = "{}: {}: <BROADCAST,MULTICAST,UP> mtu {} qdisc fq_codel state UP mode DEFAULT group default\\    link/ether {}"
    macs = [nic.mac.lower() for nic in node.nics][::order]
    lines = [line.format(1, "lo", 65536, "00:00:00:00:00:00")]
    return "\n".join([*lines, *(line.format(at, f"eth{at - 2}", 1500, mac) for at, mac in enumerate(macs, 2))])


def with_a_second_network(cluster: GuestCluster) -> GuestCluster:
    """Return ``cluster`` with an additional network ``fast`` on every node."""
    extra = (
        Nic(network="fast", mac=f"52:54:00:0F:00:0{at}", address=f"192.168.7.{at + 1}", prefix=24, mtu=9000)
        for at in range(len(cluster.nodes))
    )
    nodes = tuple(replace(node, nics=(*node.nics, nic)) for node, nic in zip(cluster.nodes, extra, strict=True))
    return replace(cluster, nodes=nodes)


@pytest.mark.parametrize("order", [1, -1])
def test_a_reader_configures_a_frontend(cluster: GuestCluster, order: int) -> None:
    """The recorded MAC address of the public interface is in upper case."""
    full = with_a_second_network(cluster)
    frontend = full.nodes[0]
    devices = [f"eth{at}" for at in range(3)][::order]
    assert read(vc_out_text(frontend, full, "ssh-rsa A one\nssh-rsa B two\n"), links_of(frontend, order)) == Configuration(
        keys="ssh-rsa A one\nssh-rsa B two",
        name_servers=["192.0.2.1"],
        hostname="vc1.example.org",
        interfaces={
            devices[0]: Interface("10.22.0.1", "255.255.0.0", "1500"),
            devices[1]: Interface("192.0.2.10", "255.255.255.0", "1500", "192.0.2.1"),
            devices[2]: Interface("192.168.7.1", "255.255.255.0", "9000"),
        },
        hosts=[
            ("10.22.0.1", "hello-frontend.local", "hello-frontend"),
            ("192.0.2.10", "vc1.example.org"),
            ("192.168.7.1", "hello-frontend.fast"),
            ("10.22.0.10", "hello-compute-0.local", "hello-compute-0"),
            ("192.168.7.2", "hello-compute-0.fast"),
            ("10.22.0.11", "hello-compute-1.local", "hello-compute-1"),
            ("192.168.7.3", "hello-compute-1.fast"),
        ],
        machines=["hello-compute-0", "hello-compute-0", "hello-compute-1", "hello-compute-1"],
    )


@pytest.mark.parametrize("order", [1, -1])
def test_a_reader_configures_a_compute(cluster: GuestCluster, order: int) -> None:
    full = with_a_second_network(cluster)
    compute = full.nodes[2]
    devices = ["eth0", "eth1"][::order]
    assert read(vc_out_text(compute, full, "ssh-rsa A one"), links_of(compute, order)) == Configuration(
        keys="ssh-rsa A one",
        name_servers=["192.0.2.1"],
        hostname="hello-compute-1.local",
        interfaces={
            devices[0]: Interface("10.22.0.11", "255.255.0.0", "1500", "10.22.0.1"),
            devices[1]: Interface("192.168.7.3", "255.255.255.0", "9000"),
        },
        hosts=[
            ("10.22.0.11", "hello-compute-1.local", "hello-compute-1"),
            ("192.168.7.3", "hello-compute-1.fast"),
            ("10.22.0.1", "vc1.example.org", "vc1"),
        ],
    )


def test_a_reader_accepts_a_frontend_without_gateway_keys_and_computes(cluster: GuestCluster) -> None:
    frontend = replace(cluster.nodes[0], nics=cluster.nodes[0].nics[:1])
    alone = replace(cluster, nodes=(frontend,), allocation=replace(cluster.allocation, public=()))
    found = read(vc_out_text(frontend, alone, ""), links_of(frontend))
    assert found.interfaces == {"eth0": Interface("10.22.0.1", "255.255.0.0", "1500")}
    assert (found.keys, found.machines, found.hostname) == ("", [], "hello-frontend.local")


def test_xml_metacharacters_are_escaped(cluster: GuestCluster) -> None:
    key = 'ssh-rsa AAAA <a & b> ]]> "c" />'
    root = ET.fromstring(vc_out_text(cluster.nodes[1], replace(cluster, domain='<"&\n/> é'), key))
    assert root.findtext("key") == key.replace(" />", " />")
    found = root.find("network/dns")
    assert found is not None
    assert found.get("search") == '<"&\n/> é'


@pytest.mark.parametrize("character", ["\0", "\x0b", "\x1f", "\ud800", "\ufffe"])
def test_characters_that_xml_cannot_represent_are_rejected(cluster: GuestCluster, character: str) -> None:
    with pytest.raises(SpecError, match="control character"):
        vc_out_text(cluster.nodes[0], cluster, f"ssh-rsa {character} AAAA")


@pytest.mark.parametrize("name", ["10g", "a b", "<x>", ""])
def test_network_names_that_are_not_xml_names_are_rejected(cluster: GuestCluster, name: str) -> None:
    node = replace(cluster.nodes[1], nics=(replace(cluster.nodes[1].nics[0], network=name),))
    with pytest.raises(SpecError, match="cannot be the name of an element"):
        vc_out_text(node, cluster, "")
