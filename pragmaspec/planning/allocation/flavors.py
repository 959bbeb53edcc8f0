"""Chooses the sizes of nodes at one site: the smallest flavor that fits, or the requested size where any is offered. Pure.

Flavors have one order, which does not depend on the request: fewest devices, then the smallest product of CPUs and memory, which
leaves the least of both unused, then memory, CPUs, disk and name. So a larger request never gets a smaller flavor. A recorded
node keeps its flavor until it no longer fits or its request becomes smaller, even if the site offers a smaller one meanwhile.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from pragmaspec.errors import Problem
from pragmaspec.planning.allocation import flavor_errors
from pragmaspec.planning.wanted import WantedImage, WantedNodes
from pragmaspec.resources import ANY_SIZE, Node, SizeRequest
from pragmaspec.site import Flavor

_NO_NODES: Mapping[str, Node] = MappingProxyType({})


class Size(NamedTuple):
    """The size of one node, as in the fields of :class:`~pragmaspec.resources.Node`."""

    cpus: int
    memory_mib: int
    disk_bytes: int
    flavor: str = ""
    requested: SizeRequest = ANY_SIZE


def size_request(nodes: WantedNodes) -> SizeRequest:
    """Return the request of one role."""
    return SizeRequest(cpus=nodes.cpus, memory_mib=nodes.memory_mib, disk_bytes=nodes.disk_bytes or 0, flavor=nodes.flavor)


def flavor_order(flavor: Flavor) -> tuple[int, int, int, int, int, str]:
    """Return the sort key of ``flavor``: the smallest is first."""
    devices = sum(count for _, count in flavor.devices)
    product = flavor.cpus * flavor.memory_mib
    return (devices, product, flavor.memory_mib, flavor.cpus, flavor.disk_bytes, flavor.name)


def may_change_size(node: Node, nodes: WantedNodes, image: WantedImage) -> bool:
    """True if choosing the size of the recorded ``node`` needs the flavors of its site."""
    if not node.flavor:
        return bool(nodes.flavor)
    return size_request(nodes) != node.requested or bool(image.digest and node.image and image.digest != node.image)


class SizeChooser:
    """Chooses sizes at one site while one plan is made, and collects the ``problems``.

    ``offered``: the site's flavors; None: any size, or unknown where ``known`` is false. ``recorded``: the nodes that keep their
    machines, by address.
    """

    def __init__(
        self, site: str, offered: Sequence[Flavor] | None, recorded: Mapping[str, Node] = _NO_NODES, *, known: bool = True
    ) -> None:
        self._site = site
        self._known = known
        self._offered = None if offered is None else sorted(offered, key=flavor_order)
        self._by_name = {flavor.name: flavor for flavor in offered or ()}
        self._recorded = recorded
        self.may_replace = known and (offered is not None or any(node.flavor for node in recorded.values()))
        """True if a recorded flavor may be one that is no longer offered."""
        self._chosen: dict[tuple[SizeRequest, int, int], Size] = {}
        self._problems: dict[Problem, None] = {}

    @property
    def problems(self) -> tuple[Problem, ...]:
        """One problem per line of the spec whose nodes no flavor fits."""
        return tuple(self._problems)

    def size(self, name: str, address: str, nodes: WantedNodes, image: WantedImage) -> Size:
        """Return the size of the node ``name`` at ``address``; if no flavor fits, a stand-in."""
        before = self._recorded.get(address)
        if self._offered is None and not nodes.flavor and (before is None or not before.flavor):
            return _free_size(nodes, image)
        kept = self._kept(before, nodes, image) if before is not None else None
        return kept or self._new(name, nodes, image, before.disk_bytes if before is not None else 0)

    def recorded(self, address: str) -> Node | None:
        """Return the node that keeps its machine at ``address``, or None."""
        return self._recorded.get(address)

    def is_offered(self, flavor: str) -> bool:
        """True if a new machine can have ``flavor``, or the site's flavors are unknown."""
        return not self._known or flavor in self._by_name or (not flavor and self._offered is None)

    def size_anew(self, name: str, nodes: WantedNodes, image: WantedImage) -> Size:
        """Return the size of a node that is made anew."""
        return self._new(name, nodes, image, 0)

    def _kept(self, before: Node, nodes: WantedNodes, image: WantedImage) -> Size | None:
        """Return the size of ``before`` if it keeps its flavor, else None."""
        request = size_request(nodes)
        if not before.flavor:
            free = _free_size(nodes, image)
            same = Size(before.cpus, before.memory_mib, before.disk_bytes) == free
            return free if same and not nodes.flavor else None
        if not self._known or not may_change_size(before, nodes, image):
            return Size(before.cpus, before.memory_mib, before.disk_bytes, before.flavor, request)
        if self._offered is None or nodes.flavor not in ("", before.flavor) or _is_reduced(before.requested, request):
            return None
        return self._still_fits(before, request, _least_disk(nodes, image))

    def _still_fits(self, before: Node, request: SizeRequest, disk_bytes: int) -> Size | None:
        flavor = self._by_name.get(before.flavor)
        if flavor is not None and not flavor.disk_bytes:
            actual_disk = disk_bytes
        elif disk_bytes <= before.disk_bytes:
            actual_disk = before.disk_bytes
        else:
            return None
        fits = before.cpus >= request.cpus and before.memory_mib >= request.memory_mib
        return Size(before.cpus, before.memory_mib, actual_disk, before.flavor, request) if fits else None

    def _new(self, name: str, nodes: WantedNodes, image: WantedImage, held_disk_bytes: int) -> Size:
        request, disk_bytes = size_request(nodes), _least_disk(nodes, image)
        key = (request, disk_bytes, held_disk_bytes)
        if key not in self._chosen:
            found = self._choice(name, nodes, disk_bytes, held_disk_bytes)
            self._chosen[key] = found or _free_size(nodes, image)
        return self._chosen[key]

    def _choice(self, name: str, nodes: WantedNodes, disk_bytes: int, held_disk_bytes: int) -> Size | None:
        """Return the size by the smallest flavor that fits, None for a free size or a problem.

        Of the flavors that fit, one that does not shrink the ``held_disk_bytes`` is preferred, because that loses no data.
        """
        if self._offered is None:
            if nodes.flavor and self._known:
                self._add(flavor_errors.no_flavors(name, nodes, self._site))
            return None
        if nodes.flavor:
            flavor = self._by_name.get(nodes.flavor)
            if flavor is None:
                self._add(flavor_errors.unknown_flavor(name, nodes, self._site, [each.name for each in self._offered]))
                return None
            if not _fits(flavor, nodes, disk_bytes):
                self._add(flavor_errors.too_small(name, nodes, flavor, disk_bytes))
                return None
            return _size_of(flavor, nodes, disk_bytes)
        fitting = [flavor for flavor in self._offered if _fits(flavor, nodes, disk_bytes)]
        if not fitting:
            self._add(flavor_errors.none_fits(name, nodes, self._site, self._offered, disk_bytes))
            return None
        keeping = (flavor for flavor in fitting if not flavor.disk_bytes or flavor.disk_bytes >= held_disk_bytes)
        return _size_of(next(keeping, fitting[0]), nodes, disk_bytes)

    def _add(self, problem: Problem) -> None:
        self._problems[problem] = None


def _least_disk(nodes: WantedNodes, image: WantedImage) -> int:
    return max(nodes.disk_bytes or 0, image.virtual_size_bytes)


def _free_size(nodes: WantedNodes, image: WantedImage) -> Size:
    return Size(nodes.cpus, nodes.memory_mib, nodes.disk_bytes or image.virtual_size_bytes)


def _fits(flavor: Flavor, nodes: WantedNodes, disk_bytes: int) -> bool:
    return (
        flavor.cpus >= nodes.cpus
        and flavor.memory_mib >= nodes.memory_mib
        and (not flavor.disk_bytes or flavor.disk_bytes >= disk_bytes)
    )


def _size_of(flavor: Flavor, nodes: WantedNodes, disk_bytes: int) -> Size:
    return Size(flavor.cpus, flavor.memory_mib, flavor.disk_bytes or disk_bytes, flavor.name, size_request(nodes))


def _is_reduced(before: SizeRequest, after: SizeRequest) -> bool:
    """True if ``after`` requests less of anything than ``before``, or no longer names its flavor."""
    return (
        after.cpus < before.cpus
        or after.memory_mib < before.memory_mib
        or after.disk_bytes < before.disk_bytes
        or bool(before.flavor and not after.flavor)
    )
