from xml.etree import ElementTree as ET

import pytest
from msgspec.structs import replace

from pragmaspec.errors import SpecError
from pragmaspec.guest.cluster import GuestCluster
from pragmaspec.guest.vc_out import vc_out_text
from pragmaspec.recorded import Allocation, Network, Nic, Node, PublicGrant

# What the ancestor wrote for its frontend and its first compute on a real Rocks site.
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
        # Public first, to show that the order of interfaces is PRAGMA's and not the node's.
        nodes=(rocks_node("vc1", 1, public, private), rocks_node("compute-0", 14, first), rocks_node("compute-1", 4, second)),
        domain="local",
        ssh_keys=(),
        spec_sha256="",
        lineage="",
    )


def test_it_is_what_the_ancestor_wrote() -> None:
    cluster = rocks_cluster()
    assert vc_out_text(cluster.nodes[0], cluster, "ssh-rsa AAAAB3 root@x\n") == FRONTEND
    assert vc_out_text(cluster.nodes[1], cluster, "ssh-rsa AAAAB3 root@x\n") == COMPUTE


def test_text_that_means_something_in_xml_is_escaped(cluster: GuestCluster) -> None:
    key = 'ssh-rsa AAAA <a & b> ]]> "c" />'
    root = ET.fromstring(vc_out_text(cluster.nodes[1], replace(cluster, domain='<"&\n/> é'), key))
    assert root.findtext("key") == key.replace(" />", " />")
    found = root.find("network/dns")
    assert found is not None
    assert found.get("search") == '<"&\n/> é'


@pytest.mark.parametrize("character", ["\0", "\x0b", "\x1f", "\ud800", "\ufffe"])
def test_text_that_xml_cannot_hold_is_refused(cluster: GuestCluster, character: str) -> None:
    with pytest.raises(SpecError, match="control character"):
        vc_out_text(cluster.nodes[0], cluster, f"ssh-rsa {character} AAAA")


@pytest.mark.parametrize("name", ["10g", "a b", "<x>", ""])
def test_a_network_that_cannot_be_an_element_is_refused(cluster: GuestCluster, name: str) -> None:
    node = replace(cluster.nodes[1], nics=(replace(cluster.nodes[1].nics[0], network=name),))
    with pytest.raises(SpecError, match="cannot be its name"):
        vc_out_text(node, cluster, "")
