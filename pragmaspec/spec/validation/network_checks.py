"""Checks the ranges of a cluster's networks: size and overlap."""

from collections.abc import Iterator
from ipaddress import IPv4Network
from itertools import combinations

from pragmaspec.spec.fields.addresses import compute_capacity
from pragmaspec.spec.findings import Finding, listed
from pragmaspec.spec.models.cluster import ClusterModel
from pragmaspec.spec.models.roles import node_sets
from pragmaspec.spec.yaml.tree import TreePath

RESERVED_NAMES = ("private", "public")


def network_findings(at: TreePath, cluster: ClusterModel) -> Iterator[Finding]:
    """Yield the findings in the networks of the cluster at ``at``."""
    for name, path, cidr in _ranges(at, cluster):
        roles = cluster.networks[name].roles if name in cluster.networks else None
        connected = [each for each in node_sets(cluster)[1:] if roles is None or each.name in roles]
        count = sum(each.count for each in connected)
        if count > compute_capacity(cidr):
            largest = max(connected, key=lambda each: each.count)
            yield _too_small((*at, *largest.path, "count"), path, cidr, count, len(connected))
    for (_, _, one), (name, path, other) in combinations(_ranges(at, cluster), 2):
        if IPv4Network(one).overlaps(IPv4Network(other)):
            yield Finding(path, "Ranges overlap", f"{other} of network `{name}` overlaps {one}. Write another range.")
    for name in cluster.networks:
        if name in RESERVED_NAMES:
            detail = f"The names {listed(RESERVED_NAMES)} are reserved. Write another name."
            yield Finding((*at, "networks", name), "Reserved name", detail, at_key=True)


def _ranges(at: TreePath, cluster: ClusterModel) -> Iterator[tuple[str, TreePath, str]]:
    """Yield name, path and range of each network with an explicit range."""
    if cluster.private.range is not None:
        yield "private", (*at, "private", "range"), cluster.private.range
    for name, network in cluster.networks.items():
        if name not in RESERVED_NAMES:
            yield name, (*at, "networks", name, "range"), network.range


def _too_small(count_path: TreePath, range_path: TreePath, cidr: str, count: int, sets: int) -> Finding:
    prefix = next(bits for bits in range(30, -1, -1) if compute_capacity(f"0.0.0.0/{bits}") >= count)
    capacity = compute_capacity(cidr)
    noun, found = ("compute", "`count` is") if sets == 1 else ("node", "the computes and groups have")
    detail = (
        f"{cidr} has addresses for {capacity} {noun}{'' if capacity == 1 else 's'} (the first is the network address plus 10), "
        f"but {found} {count}. Write a smaller count, or a range of /{prefix} or larger."
    )
    return Finding(count_path, "Range too small", detail, about=(range_path,))
