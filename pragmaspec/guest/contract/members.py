"""Cluster members in Unix file formats: ``/etc/hosts``, ``ssh_known_hosts`` and the MPI machine file."""

from collections.abc import Callable, Iterator

from pragmaspec.frozen import Frozen
from pragmaspec.guest.contract.cluster import GuestCluster
from pragmaspec.resources import Nic, Node

_HOSTS_HEAD = """\
# Written by pragmaspec; replaced whenever the members of the cluster change.
127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
ff02::1\tip6-allnodes
ff02::2\tip6-allrouters
"""


class ClusterMember(Frozen, frozen=True):
    """A node with its host names: pairs of an address and its names, the canonical name first."""

    node: Node
    names: tuple[tuple[str, tuple[str, ...]], ...]


def members(cluster: GuestCluster) -> tuple[ClusterMember, ...]:
    """Return every node with its names, in cluster order. Names are unique: the first address to claim a name keeps it."""
    taken: set[str] = set()
    return tuple(ClusterMember(node=node, names=tuple(_own_names(node, cluster, taken))) for node in cluster.nodes)


def ordered_nics(node: Node) -> tuple[Nic, ...]:
    """Return the node's interfaces in PRAGMA's order: private, public, others."""
    return tuple(sorted(node.nics, key=lambda nic: (nic.network != "private", nic.network != "public")))


def fqdn(node: Node, cluster: GuestCluster) -> str:
    """Return the fully qualified domain name: that of the public address, else ``<name>.<domain>``."""
    return public_name(node, cluster) or f"{node.name}.{cluster.domain}"


def public_name(node: Node, cluster: GuestCluster) -> str | None:
    """Return the reverse name of the node's public address, or None."""
    return next((grant.fqdn for grant in cluster.allocation.public if grant.node == node.name), None)


def hosts_text(found: tuple[ClusterMember, ...]) -> str:
    """Return ``/etc/hosts`` for all nodes: short names, ``<name>.<domain>``, public names, and ``<name>.<network>``."""
    lines = [f"{address}\t{' '.join(names)}\n" for member in found for address, names in member.names]
    return "".join((_HOSTS_HEAD, "\n", *lines))


def known_hosts_text(found: tuple[ClusterMember, ...], public_key: Callable[[Node], str]) -> str:
    """Return ``/etc/ssh/ssh_known_hosts`` (see sshd(8)): one line per node, with all its names and addresses and its host key."""
    return "".join(f"{','.join(_all_names(member))} {public_key(member.node)}\n" for member in found if member.names)


def machinefile_text(cluster: GuestCluster) -> str:
    """Return the MPI machine file: a line ``name slots=cpus`` per node except the frontend, unless its group opts out.

    Without such nodes the frontend has a line.
    """
    workers = [node for node in cluster.nodes if node.role == "compute" and node.machinefile] or [cluster.frontend]
    return "".join(f"{node.name} slots={node.cpus}\n" for node in workers)


def _own_names(node: Node, cluster: GuestCluster, taken: set[str]) -> Iterator[tuple[str, tuple[str, ...]]]:
    for nic in ordered_nics(node):
        if not nic.address:  # the site has yet to choose it
            continue
        names = tuple(name for name in _nic_names(node, nic, cluster) if name not in taken)
        taken.update(names)
        if names:
            yield nic.address, names


def _nic_names(node: Node, nic: Nic, cluster: GuestCluster) -> tuple[str, ...]:
    if nic.network == "private":
        return (f"{node.name}.{cluster.domain}", node.name)
    reverse_name = public_name(node, cluster) if nic.network == "public" else None
    return (*((reverse_name,) if reverse_name else ()), f"{node.name}.{nic.network}")


def _all_names(member: ClusterMember) -> Iterator[str]:
    for address, names in member.names:
        yield from (*reversed(names), address)
