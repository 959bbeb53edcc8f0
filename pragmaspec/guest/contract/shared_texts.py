"""The texts that are the same on every node of a cluster, made once and not once a node."""

from threading import Lock
from weakref import WeakKeyDictionary

from pragmaspec.frozen import Frozen
from pragmaspec.guest.contract.cluster import GuestCluster
from pragmaspec.guest.contract.cluster_json import shared_json
from pragmaspec.guest.contract.members import hosts_text, known_hosts_text, machinefile_text, members
from pragmaspec.guest.keys import KeyPair, StackKey, cluster_key, host_key, operator_key
from pragmaspec.resources import Node


class SharedTexts(Frozen, frozen=True):
    """What every node of one cluster is told alike."""

    hosts: str
    machinefile: str
    known_hosts: str
    authorized_keys: str
    contract: str
    """The shared lines of ``cluster.json``."""
    cluster_key: KeyPair


_made: WeakKeyDictionary[GuestCluster, tuple[StackKey, SharedTexts]] = WeakKeyDictionary()
_lock = Lock()


def shared_texts(cluster: GuestCluster, stack_key: StackKey) -> SharedTexts:
    """The shared texts of ``cluster``, kept as long as it lives. Safe from several threads: the others wait for the first."""
    with _lock:
        known = _made.get(cluster)
        if known is None or known[0] != stack_key:
            known = (stack_key, _make(cluster, stack_key))
            _made[cluster] = known
        return known[1]


def authorized_keys(cluster: GuestCluster, operator_public: str, cluster_public: str) -> str:
    """``authorized_keys`` for root of every node: the user's keys, pragmaspec's own and the cluster's. No key stands twice."""
    own = (f"{operator_public} pragmaspec-operator", f"{cluster_public} pragmaspec-cluster")
    lines = (line.strip() for key in (*cluster.ssh_keys, *own) for line in key.splitlines())
    return "".join(f"{line}\n" for line in dict.fromkeys(lines) if line)


def _make(cluster: GuestCluster, stack_key: StackKey) -> SharedTexts:
    allocation = cluster.allocation
    site, name, _ = cluster.mark(allocation.address).address.split("/", 2)
    pair = cluster_key(stack_key, site, name)
    operator = operator_key(stack_key).public
    authorized = authorized_keys(cluster, operator, pair.public)
    found = members(cluster)
    host_keys = {node.name: _host_public(node, cluster, stack_key) for node in cluster.nodes}
    keys: dict[str, object] = {"authorized": authorized.splitlines(), "cluster": pair.public, "operator": operator}
    return SharedTexts(
        hosts=hosts_text(found),
        machinefile=machinefile_text(cluster),
        known_hosts=known_hosts_text(found, lambda node: host_keys[node.name]),
        authorized_keys=authorized,
        contract=shared_json(cluster, found, keys, host_keys),
        cluster_key=pair,
    )


def _host_public(node: Node, cluster: GuestCluster, stack_key: StackKey) -> str:
    return host_key(stack_key, cluster.mark(node.address)).public
