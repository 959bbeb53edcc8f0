"""Chooses the addresses of nodes in the networks of their cluster. Pure.

A recorded node keeps its address. The frontend has the first address of a network that the site leaves, ``compute-0`` the tenth
of all, and each further compute the next one. The nodes of a group follow each other too, so that addresses show groups: in a
network of 1,024 addresses or more the first one is the tenth of a block of 256 that has no other node (``10.20.1.10``); in a
smaller network the group is at the end. An address that another node has, recorded or removed by the same plan, is passed over
for the next free one.
"""

from collections.abc import Iterable
from ipaddress import IPv4Network
from itertools import chain
from socket import inet_aton, inet_ntoa

from pragmaspec.errors import PlanError
from pragmaspec.networking import LAST_FRONTEND_OFFSET
from pragmaspec.planning.wanted import WantedCluster
from pragmaspec.resources import Network, Node

FIRST_COMPUTE = LAST_FRONTEND_OFFSET + 1
"""Offset in each network of ``compute-0``; those between it and the frontend are left for services."""
_BLOCK = 256
_BLOCKS_FROM = 1024
"""Minimum number of addresses of a network in which each group has its own block."""
_EDGES = 2
"""The network's own address and the broadcast address."""

Member = tuple[str, int]
"""The set of a node (``frontend``, ``compute`` or a group) and its index."""


def has_frontend_address(cidr: str, frontend_offset: int) -> bool:
    """True if a network has an address at the frontend's offset."""
    return frontend_offset <= max(1, IPv4Network(cidr, strict=False).num_addresses - _EDGES)


def node_capacity(cidr: str) -> int:
    """Return the maximum number of nodes in a network, besides the frontend."""
    return max(0, IPv4Network(cidr, strict=False).num_addresses - 1 - FIRST_COMPUTE)


class NodeAddresses:
    """The addresses of a cluster's nodes in one network. ``recorded``: every recorded node of the cluster."""

    def __init__(self, cluster: WantedCluster, network: Network, recorded: Iterable[Node], frontend_offset: int = 1) -> None:
        parsed = IPv4Network(network.cidr, strict=False)
        self.prefix = parsed.prefixlen
        self._cluster = cluster
        self._network = network
        self._base = int(parsed.network_address)
        self._last = max(0, parsed.num_addresses - _EDGES)
        self._kept: dict[Member, int] = {}
        self._frontend = frontend_offset
        self._taken: set[int] = {frontend_offset}
        self._first: dict[str, int] = {"compute": FIRST_COMPUTE}
        for node in recorded:
            self._keep(node)

    def address(self, group: str, index: int) -> str:
        """Return the address of a node, which depends on the order of the calls for nodes that are not recorded.

        Raises PlanError if no address is free.
        """
        offset = self._frontend if group == "frontend" else self._kept.get((group, index))
        if offset is None:
            offset = self._choose(group, index)
            self._kept[group, index] = offset
            self._taken.add(offset)
        return inet_ntoa((self._base + offset).to_bytes(4))

    def contains(self, address: str) -> bool:
        """True if ``address``, which may be empty, is one of the network's."""
        return bool(address) and 0 < int.from_bytes(inet_aton(address)) - self._base <= self._last

    def _keep(self, node: Node) -> None:
        """Record the offset of ``node``, which stays the same when the network gets another range."""
        for nic in node.nics:
            if nic.network == self._network.name:
                break
        else:
            return
        if not nic.address:
            return
        offset = int.from_bytes(inet_aton(nic.address)) & (2 ** (32 - nic.prefix) - 1)
        group = node.group_name
        if group != "frontend" and FIRST_COMPUTE <= offset <= self._last and offset not in self._taken:
            self._kept[group, node.index] = offset
            self._taken.add(offset)
            self._first.setdefault(group, offset - node.index)

    def _choose(self, group: str, index: int) -> int:
        """Return the offset of a new node: in the order of its set, else the next free one."""
        if group not in self._first:
            self._first[group] = self._first_of_group(group)
        preferred = self._first[group] + index
        if preferred not in self._taken and FIRST_COMPUTE <= preferred <= self._last:
            return preferred
        above = range(max(preferred, FIRST_COMPUTE), self._last + 1)
        below = range(min(preferred, self._last), FIRST_COMPUTE - 1, -1)
        found = next((offset for offset in chain(above, below) if offset not in self._taken), None)
        if found is None:
            raise self._no_free_address(group, index)
        return found

    def _first_of_group(self, group: str) -> int:
        """Return the offset of the first node of a new group: in its own block, else at the end of the network."""
        wanted = self._cluster.set_named(group)
        count = wanted.count if wanted else 1
        computes = FIRST_COMPUTE + self._cluster.computes.count
        if self._last >= _BLOCKS_FROM - _EDGES:
            size = -(-(FIRST_COMPUTE + count) // _BLOCK) * _BLOCK
            for start in range(_BLOCK * -(-computes // _BLOCK), self._last - FIRST_COMPUTE - count + 1, _BLOCK):
                if self._taken.isdisjoint(range(start, start + size)):
                    return start + FIRST_COMPUTE
        for start in range(self._last - count + 1, computes - 1, -1):
            if self._taken.isdisjoint(range(start, start + count)):
                return start
        return computes

    def _no_free_address(self, group: str, index: int) -> PlanError:
        cluster, network = self._cluster, self._network
        return PlanError(
            "No free address",
            f"{network.cidr} of the {network.name} network of cluster {cluster.name} has no free address for node {index} of "
            f"{group}: nodes that this plan removes still have theirs. Apply their removal first, or use a larger range.",
            where=cluster.where,
        )
