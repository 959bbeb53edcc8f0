"""Whether the ranges of a cluster's networks are large enough and apart from each other."""

from collections.abc import Iterator
from ipaddress import IPv4Network
from itertools import combinations

from pragmaspec.spec.fields.addresses import compute_capacity
from pragmaspec.spec.findings import Finding, listed
from pragmaspec.spec.models.cluster import ClusterModel
from pragmaspec.spec.yaml.tree import TreePath

RESERVED_NAMES = ("private", "public")


def network_findings(at: TreePath, cluster: ClusterModel) -> Iterator[Finding]:
    """What is wrong with the networks of the cluster at ``at``."""
    count = cluster.computes.count
    count_path = (*at, "computes", "count")
    for name, path, cidr in _ranges(at, cluster):
        on_it = "compute" in cluster.networks[name].roles if name in cluster.networks else True
        if on_it and count > compute_capacity(cidr):
            yield _too_small(count_path, path, cidr, count)
    for (_, _, one), (name, path, other) in combinations(_ranges(at, cluster), 2):
        if IPv4Network(one).overlaps(IPv4Network(other)):
            detail = f"{other} of network `{name}` and {one} have addresses in common. Write a range apart from it."
            yield Finding(path, "Ranges overlap", detail)
    for name in cluster.networks:
        if name in RESERVED_NAMES:
            detail = f"{listed(RESERVED_NAMES)} are networks every cluster may have. Write another name."
            yield Finding((*at, "networks", name), "Name taken", detail[0].upper() + detail[1:], at_key=True)


def _ranges(at: TreePath, cluster: ClusterModel) -> Iterator[tuple[str, TreePath, str]]:
    """Name, place and range of each network whose range is written."""
    if cluster.private.range is not None:
        yield "private", (*at, "private", "range"), cluster.private.range
    for name, network in cluster.networks.items():
        if name not in RESERVED_NAMES:
            yield name, (*at, "networks", name, "range"), network.range


def _too_small(count_path: TreePath, range_path: TreePath, cidr: str, count: int) -> Finding:
    prefix = next(bits for bits in range(30, -1, -1) if compute_capacity(f"0.0.0.0/{bits}") >= count)
    room = compute_capacity(cidr)
    detail = (
        f"{cidr} has room for {room} compute{'' if room == 1 else 's'} (the first has the network's address plus 10), "
        f"and {count} are wanted. Write a smaller number, or a range of /{prefix} or larger."
    )
    return Finding(count_path, "Range too small", detail, about=(range_path,))
