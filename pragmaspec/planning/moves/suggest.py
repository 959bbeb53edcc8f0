"""Suggests `moved:` entries for probable renames: a cluster is removed and one of the same shape is added. Pure."""

from collections import defaultdict
from collections.abc import Iterable

from msgspec.structs import replace

from pragmaspec.planning.wanted import Move, Wanted
from pragmaspec.resources import Node
from pragmaspec.state_model import State

_Cluster = tuple[str, str]
"""Site and name."""
_Shape = tuple[tuple[object, ...], ...]


def likely_moves(wanted: Wanted, desired: Iterable[Node], state: State) -> tuple[Move, ...]:
    """Return the moves that would keep removed clusters: of whole sites first. ``desired``: every wanted node."""
    desired = list(desired)
    wanted_clusters = {(node.site, node.cluster) for node in desired}
    recorded = {(record.resource.site, getattr(record.resource, "cluster", "")) for record in state.records}
    before = (record.resource for record in state.records if isinstance(record.resource, Node))
    removed = _shapes(node for node in before if (node.site, node.cluster) not in wanted_clusters)
    added = _shapes(node for node in desired if (node.site, node.cluster) not in recorded)
    if not removed or not added:
        return ()
    found = _site_moves(wanted, removed, added, state)
    renamed_sites = {move.before for move in found}
    for (site, name), shape in sorted(removed.items()):
        if site in renamed_sites:
            continue
        match = next((each for each, other in sorted(added.items()) if each[0] == site and other == shape), None)
        if match is not None:
            del added[match]
            found.append(Move(before=name, after=match[1]))
    return tuple(found)


def _shapes(nodes: Iterable[Node]) -> dict[_Cluster, _Shape]:
    found: defaultdict[_Cluster, list[tuple[object, ...]]] = defaultdict(list)
    for node in nodes:
        found[node.site, node.cluster].append((node.group_name, node.index, node.cpus, node.memory_mib, node.disk_bytes))
    return {cluster: tuple(sorted(shape, key=str)) for cluster, shape in found.items()}


def _site_moves(wanted: Wanted, removed: dict[_Cluster, _Shape], added: dict[_Cluster, _Shape], state: State) -> list[Move]:
    """Return the moves of sites whose removed clusters all appear at one other site with the same options."""
    found: list[Move] = []
    for before in sorted({site for site, _ in removed}):
        options = state.site(before)
        leaving = {name: shape for (site, name), shape in removed.items() if site == before}
        for after in sorted({site for site, _ in added} - {move.after for move in found}):
            arriving = {name: shape for (site, name), shape in added.items() if site == after}
            same = wanted.site(after)
            if leaving == arriving and options is not None and same is not None and replace(same, name=before) == options:
                found.append(Move(before=before, after=after, kind="site"))
                break
    return found
