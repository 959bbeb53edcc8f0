"""What looks like a rename that nobody has told of: something goes, and something of the same shape comes. Pure."""

from collections import defaultdict
from collections.abc import Iterable

from msgspec.structs import replace

from pragmaspec.planning.wanted import Move, Wanted
from pragmaspec.resources import Node
from pragmaspec.state_model import State

_Shape = tuple[tuple[object, ...], ...]


def likely_moves(wanted: Wanted, desired: Iterable[Node], state: State) -> tuple[Move, ...]:
    """The moves that would keep what goes: of whole sites first, then of clusters at one site. ``desired``: every wanted node."""
    coming, going = _shapes(desired), _shapes(state.nodes())
    going = {place: shape for place, shape in going.items() if place not in coming}
    recorded = {(record.resource.site, getattr(record.resource, "cluster", "")) for record in state.records}
    coming = {place: shape for place, shape in coming.items() if place not in recorded}
    if not going or not coming:
        return ()
    sites = _site_moves(wanted, going, coming, state)
    renamed = {move.before: move.after for move in sites}
    found = list(sites)
    for (site, cluster), shape in sorted(going.items()):
        if site in renamed:
            continue
        match = next((place for place, other in sorted(coming.items()) if place[0] == site and other == shape), None)
        if match is not None and match[0] == site:
            del coming[match]
            found.append(Move(before=cluster, after=match[1]))
    return tuple(found)


def _shapes(nodes: Iterable[Node]) -> dict[tuple[str, str], _Shape]:
    found: defaultdict[tuple[str, str], list[tuple[object, ...]]] = defaultdict(list)
    for node in nodes:
        found[node.site, node.cluster].append((node.role, node.index, node.cpus, node.memory_mib, node.disk_bytes))
    return {place: tuple(sorted(shape, key=str)) for place, shape in found.items()}


def _site_moves(
    wanted: Wanted, going: dict[tuple[str, str], _Shape], coming: dict[tuple[str, str], _Shape], state: State
) -> list[Move]:
    """Sites that are left by all their clusters, which all come to another site that differs only in its name."""
    found: list[Move] = []
    for before in sorted({site for site, _ in going}):
        options = state.site(before)
        leaving = {cluster: shape for (site, cluster), shape in going.items() if site == before}
        for after in sorted({site for site, _ in coming} - {move.after for move in found}):
            arriving = {cluster: shape for (site, cluster), shape in coming.items() if site == after}
            same = wanted.site(after)
            if leaving == arriving and options is not None and same is not None and replace(same, name=before) == options:
                found.append(Move(before=before, after=after, kind="site"))
                break
    return found
