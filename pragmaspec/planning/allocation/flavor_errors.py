"""Problems of requests that no flavor of a site fits, and warnings of flavors that are no longer offered. Pure."""

from collections.abc import Collection, Container, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, Self

from pragmaspec.errors import Problem
from pragmaspec.planning.observed import Inventory
from pragmaspec.planning.wanted import WantedImage, WantedNodes
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


class Needs(NamedTuple):
    """The size that the node ``name`` needs at least: as requested, and as its image demands."""

    name: str
    nodes: WantedNodes
    memory_mib: int
    disk_bytes: int

    @classmethod
    def of(cls, name: str, nodes: WantedNodes, image: WantedImage) -> Self:
        """Return the needs of a node with the settings ``nodes``."""
        memory_mib = max(nodes.memory_mib, image.min_memory_mib)
        return cls(name, nodes, memory_mib, max(nodes.disk_bytes or 0, image.virtual_size_bytes))

    def fit(self, flavor: Flavor) -> bool:
        """True if ``flavor`` has all of it."""
        return (
            flavor.cpus >= self.nodes.cpus
            and flavor.memory_mib >= self.memory_mib
            and (not flavor.disk_bytes or flavor.disk_bytes >= self.disk_bytes)
            and (not self.nodes.devices or not any(missing for _, missing in self.missing_devices(flavor)))
        )

    def missing_devices(self, flavor: Flavor) -> list[tuple[str, int]]:
        """Return the number of requested devices of each alias that ``flavor`` lacks, 0 if it has them."""
        has = dict(flavor.devices)
        return [(alias, max(0, count - has.get(alias, 0))) for alias, count in self.nodes.devices]


def no_flavors(needs: Needs, site: str) -> Problem:
    """Return the problem of a named flavor at a site of free sizes."""
    return Problem(
        summary="The site has no flavors",
        detail=f"{needs.name} names the flavor {needs.nodes.flavor}, and site {site} offers any size instead of flavors. "
        "Write `cpus` and `memory` instead of `flavor`.",
        where=needs.nodes.where_of("flavor"),
    )


def unknown_flavor(needs: Needs, site: str, known: Sequence[str]) -> Problem:
    """Return the problem of a named flavor that the site does not offer."""
    offered = f"It offers {few(known, MAX_FLAVORS)}."
    return Problem(
        summary="Unknown flavor",
        detail=f"{needs.name} names the flavor {needs.nodes.flavor}, which site {site} does not offer. "
        f"{did_you_mean(needs.nodes.flavor, known, offered)}",
        where=needs.nodes.where_of("flavor"),
    )


def too_small(needs: Needs, flavor: Flavor) -> Problem:
    """Return the problem of a named flavor that is smaller than the request."""
    return Problem(
        summary="The flavor is too small",
        detail=f"{needs.name} names the flavor {flavor_text(flavor)}, and requests {_request(needs)}: "
        f"{_shortage(flavor, needs)} short. Name a larger flavor, or omit `flavor` to get the smallest that fits.",
        where=needs.nodes.where,
    )


def none_fits(needs: Needs, site: str, offered: Sequence[Flavor]) -> Problem:
    """Return the problem of a request that is larger than every flavor. ``offered`` is in the order of the choice."""
    nearest = sorted(offered, key=lambda flavor: sum(part[0] for part in _deficits(flavor, needs)))[:MAX_NEAREST]
    texts = "; ".join(f"{flavor_text(each)}, {_shortage(each, needs)} short" for each in nearest)
    available = {alias for flavor in offered for alias, _ in flavor.devices}
    absent = [alias for alias, _ in needs.nodes.devices if alias not in available] if offered else []
    return Problem(
        summary="No flavor fits",
        detail=f"{needs.name} requests {_request(needs)}, and "
        + (
            f"none of the {counted(len(offered), 'flavor')} of site {site} has all of it. The nearest: {texts}. "
            if offered
            else f"site {site} offers no flavor to this user. "
        )
        + (_absent_devices(absent, available) if absent else "Request less, or use another site."),
        where=needs.nodes.where_of("devices") if absent else needs.nodes.where,
    )


def _absent_devices(absent: Sequence[str], available: Collection[str]) -> str:
    known = f"Flavors there have {few(sorted(available), MAX_FLAVORS)}: use one of these, or another site."
    known = known if available else "Flavors there have no devices: use another site."
    advice = did_you_mean(absent[0], available, known) if len(absent) == 1 else known
    return f"No flavor there has {joined(absent, MAX_FLAVORS, 'or')}. {advice}"


def vanished_flavor_warnings(inventories: Mapping[str, Inventory], nodes: Sequence[Node]) -> Iterator[Problem]:
    """Yield one warning per flavor of ``nodes`` that its site no longer offers."""
    for site, inventory in inventories.items():
        if inventory.flavors is not None:
            yield from _vanished_at(site, {flavor.name for flavor in inventory.flavors}, nodes)


def _vanished_at(site: str, offered: Container[str], nodes: Iterable[Node]) -> Iterator[Problem]:
    users: dict[str, list[str]] = {}
    for node in nodes:
        if node.site == site and node.flavor and node.flavor not in offered:
            users.setdefault(node.flavor, []).append(node.name)
    for flavor, names in sorted(users.items()):
        yield Problem(
            summary="Flavor no longer offered",
            detail=f"Site {site} no longer offers the flavor {flavor} of {joined(names, MAX_NODES)}. "
            f"{'This node keeps its machine' if len(names) == 1 else 'These nodes keep their machines'}; a rebuild chooses "
            "another flavor, and fails if the spec names this one.",
            severity="warning",
        )


def flavor_text(flavor: Flavor) -> str:
    """Return ``m1.small (1 cpu, 2 GiB, 20 GiB disk)``."""
    parts = [counted(flavor.cpus, "cpu"), format_size(flavor.memory_mib * _MIB)]
    parts += [f"{format_size(flavor.disk_bytes)} disk"] if flavor.disk_bytes else []
    parts += [f"{count} {alias}" for alias, count in flavor.devices]
    return f"{flavor.name} ({', '.join(parts)})"


def _request(needs: Needs) -> str:
    nodes = needs.nodes
    parts = [counted(nodes.cpus, "cpu")] if nodes.cpus else []
    if needs.memory_mib:
        of_image = "" if nodes.memory_mib == needs.memory_mib else f" for image {nodes.image}"
        parts.append(f"{format_size(needs.memory_mib * _MIB)} of memory{of_image}")
    if needs.disk_bytes:
        of_image = "" if nodes.disk_bytes == needs.disk_bytes else f" for image {nodes.image}"
        parts.append(f"a disk of {format_size(needs.disk_bytes)}{of_image}")
    parts += (f"{count} {alias}" for alias, count in nodes.devices)
    return joined(parts, len(parts))


def _deficits(flavor: Flavor, needs: Needs) -> list[tuple[float, str]]:
    """Return the part of the request that ``flavor`` lacks, from 0 to 1, and the amount in words, for each lacking amount."""
    cpus, memory_mib, disk_bytes = needs.nodes.cpus, needs.memory_mib, needs.disk_bytes
    amounts = [
        (cpus, flavor.cpus, counted(cpus - flavor.cpus, "cpu")),
        (memory_mib, flavor.memory_mib, f"{format_size(max(0, memory_mib - flavor.memory_mib) * _MIB)} of memory"),
        (disk_bytes, flavor.disk_bytes or disk_bytes, f"{format_size(max(0, disk_bytes - flavor.disk_bytes))} of disk"),
    ]
    counts = dict(needs.nodes.devices)
    devices = [(counts[alias], counts[alias] - missing, f"{missing} {alias}") for alias, missing in needs.missing_devices(flavor)]
    return [(1 - has / needed, text) for needed, has, text in (*amounts, *devices) if needed > has]


def _shortage(flavor: Flavor, needs: Needs) -> str:
    missing = [text for _, text in _deficits(flavor, needs)]
    return joined(missing, len(missing))
