"""Problems of requests that no flavor of a site fits, and warnings of flavors that are no longer offered. Pure."""

from collections.abc import Iterable, Sequence

from pragmaspec.errors import Problem
from pragmaspec.planning.observed import Inventory
from pragmaspec.planning.wanted import WantedNodes
from pragmaspec.resources import Node
from pragmaspec.site import Flavor
from pragmaspec.spec.quantity import format_size
from pragmaspec.text import counted, did_you_mean, few, joined

MAX_FLAVORS = 12
"""Number of flavors that an error names."""
MAX_NEAREST = 3
"""Number of nearest flavors that an error describes."""
MAX_NODES = 3
"""Number of nodes that a warning names."""
_MIB = 2**20


def no_flavors(name: str, nodes: WantedNodes, site: str) -> Problem:
    """Return the problem of a named flavor at a site of free sizes."""
    return Problem(
        summary="The site has no flavors",
        detail=f"{name} names the flavor {nodes.flavor}, and site {site} offers any size instead of flavors. Write `cpus` and "
        "`memory` instead of `flavor`.",
        where=nodes.where,
    )


def unknown_flavor(name: str, nodes: WantedNodes, site: str, known: Sequence[str]) -> Problem:
    """Return the problem of a named flavor that the site does not offer."""
    offered = f"It offers {few(known, MAX_FLAVORS)}."
    return Problem(
        summary="Unknown flavor",
        detail=f"{name} names the flavor {nodes.flavor}, which site {site} does not offer. "
        f"{did_you_mean(nodes.flavor, known, offered)}",
        where=nodes.where,
    )


def too_small(name: str, nodes: WantedNodes, flavor: Flavor, disk_bytes: int) -> Problem:
    """Return the problem of a named flavor that is smaller than the request."""
    return Problem(
        summary="The flavor is too small",
        detail=f"{name} names the flavor {flavor_text(flavor)}, and requests {_request(nodes, disk_bytes)}: "
        f"{_shortage(flavor, nodes, disk_bytes)} short. Name a larger flavor, or omit `flavor` to get the smallest that fits.",
        where=nodes.where,
    )


def none_fits(name: str, nodes: WantedNodes, site: str, offered: Sequence[Flavor], disk_bytes: int) -> Problem:
    """Return the problem of a request that is larger than every flavor. ``offered`` is in the order of the choice."""
    nearest = sorted(offered, key=lambda flavor: sum(part[0] for part in _deficits(flavor, nodes, disk_bytes)))[:MAX_NEAREST]
    texts = "; ".join(f"{flavor_text(each)}, {_shortage(each, nodes, disk_bytes)} short" for each in nearest)
    return Problem(
        summary="No flavor fits",
        detail=f"{name} requests {_request(nodes, disk_bytes)}, and "
        + (
            f"none of the {counted(len(offered), 'flavor')} of site {site} has all of it. The nearest: {texts}. "
            if offered
            else f"site {site} offers no flavor to this user. "
        )
        + "Request less, or use another site.",
        where=nodes.where,
    )


def vanished_flavor_warnings(site: str, inventory: Inventory, nodes: Iterable[Node]) -> tuple[Problem, ...]:
    """Return one warning per flavor of ``nodes`` that ``site`` no longer offers."""
    if inventory.flavors is None:
        return ()
    offered = {flavor.name for flavor in inventory.flavors}
    users: dict[str, list[str]] = {}
    for node in nodes:
        if node.site == site and node.flavor and node.flavor not in offered:
            users.setdefault(node.flavor, []).append(node.name)
    return tuple(
        Problem(
            summary="Flavor no longer offered",
            detail=f"Site {site} no longer offers the flavor {flavor} of {joined(names, MAX_NODES)}. "
            f"{'This node keeps its machine' if len(names) == 1 else 'These nodes keep their machines'}; a rebuild chooses "
            "another flavor, and fails if the spec names this one.",
            severity="warning",
        )
        for flavor, names in sorted(users.items())
    )


def flavor_text(flavor: Flavor) -> str:
    """Return ``m1.small (1 cpu, 2 GiB, 20 GiB disk)``."""
    parts = [counted(flavor.cpus, "cpu"), format_size(flavor.memory_mib * _MIB)]
    parts += [f"{format_size(flavor.disk_bytes)} disk"] if flavor.disk_bytes else []
    parts += [f"{count} {alias}" for alias, count in flavor.devices]
    return f"{flavor.name} ({', '.join(parts)})"


def _request(nodes: WantedNodes, disk_bytes: int) -> str:
    parts = [counted(nodes.cpus, "cpu")] if nodes.cpus else []
    parts += [f"{format_size(nodes.memory_mib * _MIB)} of memory"] if nodes.memory_mib else []
    if disk_bytes:
        of_image = "" if nodes.disk_bytes == disk_bytes else f" for image {nodes.image}"
        parts.append(f"a disk of {format_size(disk_bytes)}{of_image}")
    return joined(parts)


def _deficits(flavor: Flavor, nodes: WantedNodes, disk_bytes: int) -> list[tuple[float, str]]:
    """Return the part of the request that ``flavor`` lacks, from 0 to 1, and the amount in words, for each lacking amount."""
    amounts = [
        (nodes.cpus, flavor.cpus, counted(nodes.cpus - flavor.cpus, "cpu")),
        (nodes.memory_mib, flavor.memory_mib, f"{format_size(max(0, nodes.memory_mib - flavor.memory_mib) * _MIB)} of memory"),
        (disk_bytes, flavor.disk_bytes or disk_bytes, f"{format_size(max(0, disk_bytes - flavor.disk_bytes))} of disk"),
    ]
    return [(1 - has / needs, text) for needs, has, text in amounts if needs > has]


def _shortage(flavor: Flavor, nodes: WantedNodes, disk_bytes: int) -> str:
    return joined([text for _, text in _deficits(flavor, nodes, disk_bytes)])
