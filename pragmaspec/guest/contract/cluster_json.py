"""``/etc/pragmaspec/cluster.json``: the machine-readable guest contract, documented in docs/guest-contract.md."""

from collections.abc import Iterable

import msgspec

from pragmaspec.guest.contract.cluster import GuestCluster
from pragmaspec.guest.contract.members import ClusterMember, fqdn
from pragmaspec.resources import Network, Nic, Node

CONTRACT_VERSION = 1


def shared_json(
    cluster: GuestCluster, found: tuple[ClusterMember, ...], keys: dict[str, object], host_keys: dict[str, str]
) -> str:
    """Return the lines that are equal on all nodes: everything but ``version`` and ``node``."""
    allocation = cluster.allocation
    facts = {
        "name": allocation.cluster,
        "site": allocation.site,
        "domain": cluster.domain,
        "frontend": cluster.frontend.name,
        "stack": cluster.lineage,
        "spec_sha256": cluster.spec_sha256,
    }
    nodes = (_member(member, cluster, host_keys[member.node.name]) for member in found)
    return (
        f'  "cluster": {_json(facts)},\n'
        f'  "keys": {_json(keys)},\n'
        f'  "networks": {_rows(map(_network, allocation.networks))},\n'
        f'  "nodes": {_rows(nodes)}\n'
        "}\n"
    )


def cluster_json_text(node: Node, cluster: GuestCluster, shared: str) -> str:
    """Return the complete document for ``node``, one item per line for readability."""
    own = {**_identity(node, cluster), "interfaces": [_interface(nic) for nic in node.interfaces]}
    return f'{{\n  "version": {CONTRACT_VERSION},\n  "node": {_json(own)},\n{shared}'


def _identity(node: Node, cluster: GuestCluster) -> dict[str, object]:
    return {
        "name": node.name,
        "role": node.role,
        "group": node.group_name,
        "index": node.index,
        "fqdn": fqdn(node, cluster),
        "cpus": node.cpus,
    }


def _member(member: ClusterMember, cluster: GuestCluster, host_key: str) -> dict[str, object]:
    addresses = {nic.network: nic.address or None for nic in member.node.nics}
    return {**_identity(member.node, cluster), "addresses": addresses, "host_key": host_key}


def _network(network: Network) -> dict[str, object]:
    return {"name": network.name, "cidr": network.cidr, "vlan": network.vlan, "mtu": network.mtu}


def _interface(nic: Nic) -> dict[str, object]:
    return {
        "network": nic.network,
        "mac": nic.mac or None,
        "address": nic.address or None,
        "prefix": nic.prefix,
        "gateway": nic.gateway,
        "dns": nic.dns,
        "mtu": nic.mtu,
    }


def _rows(values: Iterable[dict[str, object]]) -> str:
    return "[\n" + ",\n".join(f"    {_json(value)}" for value in values) + "\n  ]"


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
