"""The input of the guest contract, and digests of it that show planning when it changed."""

from collections.abc import Iterable, Mapping
from hashlib import sha256

import msgspec
from msgspec.structs import replace

from pragmaspec.frozen import Frozen
from pragmaspec.guest.setup.users import ClusterUser
from pragmaspec.resources import Allocation, Mark, Nic, Node

DIGEST_DIGITS = 16


class GuestCluster(Frozen, frozen=True, eq=False, weakref=True, gc=True):
    """A cluster as described to its nodes. ``nodes`` are sorted: the frontend, the computes, the groups.

    Create one per cluster and run, and use it for all nodes, so that text shared by the nodes is generated once. Comparison is by
    identity, which makes the look-up of shared text cheap for 10,000 nodes.
    """

    allocation: Allocation
    nodes: tuple[Node, ...]
    domain: str
    ssh_keys: tuple[str, ...]
    spec_sha256: str
    lineage: str
    users: tuple[ClusterUser, ...] = ()
    origins: Mapping[str, str] = msgspec.field(default_factory=dict)
    """Original addresses of moved resources by current address; keys are derived from the original address."""

    def mark(self, address: str) -> Mark:
        """Return the mark of the resource at ``address``, with its original address."""
        return Mark(lineage=self.lineage, address=self.origins.get(address, address))

    @property
    def frontend(self) -> Node:
        """The frontend node."""
        return self.nodes[0]


class GuestSettings(Frozen, frozen=True):
    """Settings read at the first boot only. ``user_data`` is a cloud-config (``#cloud-config`` and JSON) to merge, or empty."""

    packages: tuple[str, ...] = ()
    user_data: str = ""


def keys_digest(ssh_keys: Iterable[str]) -> str:
    """Return a digest of the authorized ssh keys, 16 hexadecimal digits; order and duplicates do not matter."""
    return _digest(sorted(set(ssh_keys)))


def user_digests(users: Iterable[ClusterUser]) -> tuple[tuple[str, str], ...]:
    """Return a digest per user of all that belongs to it, by name; the order of keys does not matter."""
    found = (replace(user, ssh_keys=tuple(sorted(set(user.ssh_keys)))) for user in users)
    return tuple(sorted((user.name, _digest(user)) for user in found))


def first_boot_digest(settings: GuestSettings) -> str:
    """Return a digest of first-boot settings, 16 hexadecimal digits; order and duplicates of packages do not matter."""
    return _digest([sorted(set(settings.packages)), settings.user_data])


def peers_digest(allocation: Allocation, nodes: Iterable[Node], domain: str) -> str:
    """Return a digest of the cluster members in the guest contract, 16 hexadecimal digits; their order does not matter.

    Compute it once per cluster: it takes about 30 ms for 10,000 nodes.
    """
    members = sorted(
        (node.role != "frontend", node.index, node.name, node.cpus, _interfaces(node.nics), *_group_facts(node)) for node in nodes
    )
    names = sorted((grant.node, grant.fqdn or "") for grant in allocation.public)
    networks = [(network.name, network.cidr, network.vlan, network.mtu) for network in allocation.networks]
    return _digest([allocation.site, allocation.cluster, domain, networks, names, members])


def _group_facts(node: Node) -> tuple[tuple[str, bool], ...]:
    """Return the group of ``node``, and its place in the machine file; nothing for the usual ones, so that old digests hold."""
    return ((node.group, node.machinefile),) if node.group or not node.machinefile else ()


def _interfaces(nics: tuple[Nic, ...]) -> list[tuple[object, ...]]:
    """Return the fields of interfaces that are part of the guest contract; the network segment is not."""
    return [(nic.network, nic.mac, nic.address, nic.prefix, nic.gateway, nic.dns, nic.mtu) for nic in nics]


def _digest(value: object) -> str:
    return sha256(msgspec.json.encode(value)).hexdigest()[:DIGEST_DIGITS]
