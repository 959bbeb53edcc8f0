"""The file contents shared by all nodes of a cluster, generated once per cluster."""

from threading import Lock
from weakref import WeakKeyDictionary

from pragmaspec.frozen import Frozen
from pragmaspec.guest.contract.cluster import GuestCluster
from pragmaspec.guest.contract.cluster_json import shared_json
from pragmaspec.guest.contract.members import hosts_text, known_hosts_text, machinefile_text, members
from pragmaspec.guest.keys import KeyPair, StackKey, cluster_key, host_key, operator_key
from pragmaspec.resources import Node


class SharedTexts(Frozen, frozen=True):
    """File contents that are equal on all nodes of a cluster."""

    hosts: str
    machinefile: str
    known_hosts: str
    authorized_keys: str
    contract: str
    """The shared lines of ``cluster.json``."""
    cluster_key: KeyPair


_cache: WeakKeyDictionary[GuestCluster, tuple[StackKey, SharedTexts]] = WeakKeyDictionary()
_lock = Lock()


def shared_texts(cluster: GuestCluster, stack_key: StackKey) -> SharedTexts:
    """Return the shared texts of ``cluster``, cached for its lifetime. Thread-safe: concurrent callers wait for the first."""
    with _lock:
        entry = _cache.get(cluster)
        if entry is None or entry[0] != stack_key:
            entry = (stack_key, _generate(cluster, stack_key))
            _cache[cluster] = entry
        return entry[1]


def authorized_keys(cluster: GuestCluster, operator_public: str, cluster_public: str) -> str:
    """Return root's ``authorized_keys`` of all nodes: the user's, pragmaspec's and the cluster's keys, without duplicates."""
    own = (f"{operator_public} pragmaspec-operator", f"{cluster_public} pragmaspec-cluster")
    lines = (line.strip() for key in (*cluster.ssh_keys, *own) for line in key.splitlines())
    return "".join(f"{line}\n" for line in dict.fromkeys(lines) if line)


def _generate(cluster: GuestCluster, stack_key: StackKey) -> SharedTexts:
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
