"""What a guest is told, as values, and the digests by which planning sees that it changed."""

from collections.abc import Iterable, Mapping
from hashlib import sha256

import msgspec

from pragmaspec.frozen import Frozen
from pragmaspec.resources import Allocation, Mark, Nic, Node

DIGEST_DIGITS = 16


class GuestCluster(Frozen, frozen=True, eq=False, weakref=True, gc=True):
    """A cluster as its nodes shall know it. ``nodes`` stand frontend first, then by index.

    Make one for each cluster and run and use it for all its nodes: what is the same on all of them is then made once. Two of
    these are equal only when they are the same object, so that finding that shared text costs nothing for 10,000 nodes.
    """

    allocation: Allocation
    nodes: tuple[Node, ...]
    domain: str
    ssh_keys: tuple[str, ...]
    spec_sha256: str
    lineage: str
    origins: Mapping[str, str] = msgspec.field(default_factory=dict)
    """Addresses of what has moved since it was made, and the ones that it was made under: keys belong to those."""

    def mark(self, address: str) -> Mark:
        """Who the thing at ``address`` is, whatever it is called now."""
        return Mark(lineage=self.lineage, address=self.origins.get(address, address))

    @property
    def frontend(self) -> Node:
        """The frontend."""
        return self.nodes[0]


class GuestSettings(Frozen, frozen=True):
    """What a node reads at its first boot only. ``user_data`` is a cloud-config document to merge, or empty."""

    packages: tuple[str, ...] = ()
    user_data: str = ""


def keys_digest(ssh_keys: Iterable[str]) -> str:
    """Digest of who may log in, 16 hexadecimal digits; order and repetition do not matter."""
    return _digest(sorted(set(ssh_keys)))


def first_boot_digest(settings: GuestSettings) -> str:
    """Digest of what is read at first boot only, 16 hexadecimal digits; order and repetition of packages do not matter."""
    return _digest([sorted(set(settings.packages)), settings.user_data])


def peers_digest(allocation: Allocation, nodes: Iterable[Node], domain: str) -> str:
    """Digest of what the guest contract says of the members of a cluster, 16 hexadecimal digits; their order does not matter.

    Compute it once a cluster: it reads all of them (about 30 ms for 10,000 nodes).
    """
    members = sorted((node.role != "frontend", node.index, node.name, node.cpus, _told(node.nics)) for node in nodes)
    names = sorted((grant.node, grant.fqdn or "") for grant in allocation.public)
    networks = [(network.name, network.cidr, network.vlan, network.mtu) for network in allocation.networks]
    return _digest([allocation.site, allocation.cluster, domain, networks, names, members])


def _told(nics: tuple[Nic, ...]) -> list[tuple[object, ...]]:
    """What guests are told of interfaces: what they are plugged into is none of their business."""
    return [(nic.network, nic.mac, nic.address, nic.prefix, nic.gateway, nic.dns, nic.mtu) for nic in nics]


def _digest(value: object) -> str:
    return sha256(msgspec.json.encode(value)).hexdigest()[:DIGEST_DIGITS]
