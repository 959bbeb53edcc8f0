"""Nodes that cannot be told the members of their cluster: these are known only after their boot, and nobody can log in. Pure."""

from collections.abc import Iterable, Iterator

from pragmaspec.errors import Problem, Where
from pragmaspec.planning.plan import Action
from pragmaspec.resources import Node
from pragmaspec.site import Site
from pragmaspec.text import joined

MAX_NODES = 3
"""Number of nodes that a warning names."""


def route_warnings(sites: Iterable[Site], actions: Iterable[Action], nodes: Iterable[Node]) -> Iterator[Problem]:
    """Yield a warning per cluster with nodes that ``actions`` tell their members over ssh without a route there.

    ``nodes``: all desired ones. The routes are a public address of the node, or of the frontend of its cluster.
    """
    late = {site.name for site in sites if {"macs", "private"}.intersection(site.late_values)}
    if not late:
        return
    routed = {(node.site, node.cluster) for node in nodes if node.role == "frontend" and node.nic("public") is not None}
    cut_off: dict[tuple[str, str], list[tuple[Node, Where | None]]] = {}
    for action in actions:
        node = action.resource
        if action.verb != "update" or not isinstance(node, Node) or node.site not in late or not _tells_members(action, node):
            continue
        if (node.site, node.cluster) not in routed and node.nic("public") is None:
            cut_off.setdefault((node.site, node.cluster), []).append((node, action.where))
    for (site, cluster), found in cut_off.items():
        yield _warning(site, cluster, [node.name for node, _ in found], found[0][1])


def _tells_members(action: Action, node: Node) -> bool:
    return not isinstance(action.before, Node) or action.before.peers != node.peers


def _warning(site: str, cluster: str, names: list[str], where: Where | None) -> Problem:
    return Problem(
        summary="Nodes that never know the members of their cluster",
        detail=f"Site {site} chooses addresses when nodes boot, so {joined(names, MAX_NODES)} can be told the members of "
        f"{cluster} only afterwards, over ssh. There is no route to them, because their frontend has no public address: they "
        "stay without host names and keys of the others. Give the frontend an address with `public`.",
        where=where,
        severity="warning",
    )
