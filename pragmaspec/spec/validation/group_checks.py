"""Checks of groups of nodes: their names, the order of their boots, the networks they are connected to, and single nodes."""

import re
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter

from pragmaspec.spec.findings import Finding, listed
from pragmaspec.spec.models.cluster import ClusterModel, NodesModel, SpecModel
from pragmaspec.spec.models.roles import NodeSet, node_sets
from pragmaspec.spec.yaml.tree import TreePath
from pragmaspec.text import did_you_mean

RESERVED_GROUPS = ("all", "at", "cluster", "compute", "computes", "frontend", "frontends", "site")
"""Names with another meaning: of other nodes, or of groups in Ansible inventories."""
SET_NAMES = ("frontend", "computes")
"""The sets of nodes that are not groups, as specs write them."""
HOST_NAME_MAX = 63
"""Maximum length of a label of a host name (RFC 1123, section 2.1)."""


def group_findings(at: TreePath, cluster: ClusterModel) -> Iterator[Finding]:
    """Yield the findings in the groups of the cluster at ``at``, and in the keys that name groups."""
    known = {each.name for each in node_sets(cluster)}
    for name in cluster.groups:
        yield from _unusable_name(at, name)
    for each in node_sets(cluster):
        if isinstance(each.nodes, NodesModel):
            yield from _long_names(at, each)
            yield from _overrides_of_no_node(at, each.path, each.nodes)
    yield from _unknown_in_wait_for(at, cluster)
    for network, model in cluster.networks.items():
        for position, role in enumerate(model.roles or ()):
            if role not in known:
                path: TreePath = (*at, "networks", network, "roles", position)
                yield _unknown_group(path, role, cluster)


def ambiguous_name_findings(spec: SpecModel) -> Iterator[Finding]:
    """Yield a finding per group whose nodes have the names of other nodes, or of a cluster."""
    owners: dict[str, str] = {}
    for cluster, model in spec.clusters.items():
        for each in sorted(node_sets(model)[1:], key=lambda each: each.name != "compute"):
            prefix = f"{cluster}-{each.name}"
            owner = owners.setdefault(prefix, cluster)
            if owner != cluster and (each.path[0] == "groups" or prefix.removeprefix(f"{owner}-") in spec.clusters[owner].groups):
                detail = f"The nodes of cluster `{owner}` have the names `{prefix}-0` and so on, too. Write another name."
                path: TreePath = ("clusters", cluster, *(each.path if each.path[0] == "groups" else ()))
                yield Finding(path, "Name with two meanings", detail, at_key=True)
    for cluster, model in spec.clusters.items():
        for name, group in model.groups.items():
            clashes = [other for other in spec.clusters if _is_node(other, f"{cluster}-{name}", group.count)]
            if clashes:
                detail = f"A node of this group has the name of cluster `{clashes[0]}`. Write another name."
                yield Finding(("clusters", cluster, "groups", name), "Name with two meanings", detail, at_key=True)


def _is_node(name: str, prefix: str, count: int) -> bool:
    number = name.removeprefix(f"{prefix}-")
    return number != name and number.isdecimal() and int(number) < count


def _unusable_name(at: TreePath, name: str) -> Iterator[Finding]:
    path = (*at, "groups", name)
    if name in RESERVED_GROUPS:
        detail = f"The names {listed(RESERVED_GROUPS)} are reserved. Write another name."
        yield Finding(path, "Reserved name", detail, at_key=True)
    elif re.search(r"-[0-9]+\Z", name):
        detail = f"`{name}` ends like the name of a single node. Write a name that does not end with a hyphen and a number."
        yield Finding(path, "Name with two meanings", detail, at_key=True)


def _long_names(at: TreePath, found: NodeSet) -> Iterator[Finding]:
    longest = f"{at[-1]}-{found.name}-{max(found.count - 1, 0)}"
    if found.path[0] == "groups" and len(longest) > HOST_NAME_MAX:
        detail = f"`{longest}` has {len(longest)} characters, and host names have at most {HOST_NAME_MAX}. Write a shorter name."
        yield Finding((*at, *found.path), "Name too long", detail, at_key=True)


def _overrides_of_no_node(at: TreePath, path: TreePath, nodes: NodesModel) -> Iterator[Finding]:
    for index in nodes.overrides:
        if index >= nodes.count:
            last = f"the last node has the index {nodes.count - 1}" if nodes.count else "`count` is 0"
            detail = f"There is no node {index}: {last}. Remove the entry, or raise `count`."
            at_index: TreePath = (*at, *path, "overrides", str(index))
            yield Finding(at_index, "Unknown node", detail, at_key=True, about=((*at, *path, "count"),))


def _unknown_in_wait_for(at: TreePath, cluster: ClusterModel) -> Iterator[Finding]:
    """Yield a finding per unknown name; without any, one per cycle."""
    sets = {each.name: each for each in node_sets(cluster)}
    waits = {name: each.nodes.wait_for for name, each in sets.items() if isinstance(each.nodes, NodesModel)}
    unknown = [(name, awaited) for name, awaits in waits.items() for awaited in awaits if awaited not in sets]
    for name, awaited in unknown:
        yield _unknown_group((*at, *sets[name].path, "wait_for"), awaited, cluster)
    if not unknown:
        yield from _circular_waits(at, {name: each.path for name, each in sets.items()}, waits)


def _circular_waits(at: TreePath, paths: dict[str, tuple[str, ...]], waits: dict[str, tuple[str, ...]]) -> Iterator[Finding]:
    while True:
        try:
            TopologicalSorter(waits).prepare()
        except CycleError as error:
            first, *rest = reversed(error.args[1])
            text = " → ".join(f"`{paths[name][-1]}`" for name in (first, *rest))
            detail = f"{text}: these nodes wait for each other, so none of them would boot. Remove one of the names."
            yield Finding((*at, *paths[first], "wait_for"), "Circular wait", detail)
            waits = {**waits, first: ()}
        else:
            return


def _unknown_group(path: TreePath, name: str, cluster: ClusterModel) -> Finding:
    known = tuple(dict.fromkeys((*SET_NAMES, *cluster.groups)))
    advice = did_you_mean(name, known, f"Valid names are {listed(known)}.", quote="`")
    return Finding(path, "Unknown group", f"There is no group `{name}` in this cluster. {advice}")
