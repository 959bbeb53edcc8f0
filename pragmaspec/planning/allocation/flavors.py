"""Chooses the sizes of nodes at one site: the smallest flavor that fits, or the requested size where any is offered. Pure.

Flavors have one order, which does not depend on the request: fewest devices, then the smallest product of CPUs and memory, which
leaves the least of both unused, then memory, CPUs, disk and name. So a larger request never gets a smaller flavor. A recorded
node keeps its flavor until it no longer fits or its request becomes smaller, even if the site offers a smaller one meanwhile.
"""

from collections.abc import Container, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from pragmaspec.errors import Problem
from pragmaspec.planning.allocation import flavor_errors
from pragmaspec.planning.allocation.flavor_errors import Needs
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
    return SizeRequest(
        cpus=nodes.cpus, memory_mib=nodes.memory_mib, disk_bytes=nodes.disk_bytes or 0, flavor=nodes.flavor, devices=nodes.devices
    )


def flavor_order(flavor: Flavor) -> tuple[int, int, int, int, int, str]:
    """Return the sort key of ``flavor``: the smallest is first."""
    devices = sum(count for _, count in flavor.devices)
    product = flavor.cpus * flavor.memory_mib
    return (devices, product, flavor.memory_mib, flavor.cpus, flavor.disk_bytes, flavor.name)


def may_change_size(node: Node, nodes: WantedNodes, image: WantedImage) -> bool:
    """True if choosing the size of the recorded ``node`` needs the flavors of its site."""
    if not node.flavor:
        return bool(nodes.flavor)
    return not _is_requested(nodes, node.requested) or bool(image.digest and node.image and image.digest != node.image)


def _is_requested(nodes: WantedNodes, request: SizeRequest) -> bool:
    """True if ``request`` is that of ``nodes``. Compares fields: a plan without changes does it for every node."""
    return (
        nodes.cpus == request.cpus
        and nodes.memory_mib == request.memory_mib
        and (nodes.disk_bytes or 0) == request.disk_bytes
        and nodes.flavor == request.flavor
        and nodes.devices == request.devices
    )


class SizeChooser:
    """Chooses sizes at one site while one plan is made, and collects the ``problems``.

    ``offered``: the site's flavors; None: any size, or unknown where ``known`` is false. ``recorded``: the nodes that keep their
    machines, by address; ``unfinished``: the addresses of those whose last boot was not completed.
    """

    def __init__(
        self,
        site: str,
        offered: Sequence[Flavor] | None,
        recorded: Mapping[str, Node] = _NO_NODES,
        unfinished: Container[str] = (),
        *,
        known: bool = True,
    ) -> None:
        self._site = site
        self._unfinished = unfinished
        self._known = known
        self._offered = None if offered is None else sorted(offered, key=flavor_order)
        self._by_name = {flavor.name: flavor for flavor in self._offered or ()}
        self._recorded = recorded
        self.may_replace = known and (offered is not None or any(node.flavor for node in recorded.values()))
        """True if a recorded flavor may be one that is no longer offered."""
        self.is_free = offered is None and not any(node.flavor for node in recorded.values())
        """True if nodes that name no flavor get the size that they request."""
        self._chosen: dict[tuple[SizeRequest, int, int, int], Size] = {}
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

    def is_unfinished(self, address: str) -> bool:
        """True if the node may not have its recorded size, because its last boot was not completed."""
        return address in self._unfinished

    def size_anew(self, name: str, nodes: WantedNodes, image: WantedImage, held_disk_bytes: int = 0) -> Size:
        """Return the size of a node regardless of its recorded one. Its disk of ``held_disk_bytes`` should not shrink."""
        return self._new(name, nodes, image, held_disk_bytes)

    def _kept(self, before: Node, nodes: WantedNodes, image: WantedImage) -> Size | None:
        """Return the size of ``before`` if it keeps its flavor, else None."""
        if not before.flavor:
            free = _free_size(nodes, image)
            same = Size(before.cpus, before.memory_mib, before.disk_bytes) == free
            return free if same and not nodes.flavor else None
        if not may_change_size(before, nodes, image):
            return Size(before.cpus, before.memory_mib, before.disk_bytes, before.flavor, before.requested)
        request = size_request(nodes)
        if not self._known:
            return Size(before.cpus, before.memory_mib, before.disk_bytes, before.flavor, request)
        if self._offered is None or nodes.flavor not in ("", before.flavor) or _is_reduced(before.requested, request):
            return None
        offered = self._by_name.get(before.flavor)
        any_disk = offered is not None and not offered.disk_bytes
        has = Flavor(
            name=before.flavor,
            cpus=before.cpus,
            memory_mib=before.memory_mib,
            disk_bytes=0 if any_disk else before.disk_bytes,
            devices=before.requested.devices if offered is None else offered.devices,
        )
        needs = Needs.of(before.name, nodes, image)
        return _size_of(has, needs) if needs.fit(has) else None

    def _new(self, name: str, nodes: WantedNodes, image: WantedImage, held_disk_bytes: int) -> Size:
        needs = Needs.of(name, nodes, image)
        key = (size_request(nodes), needs.memory_mib, needs.disk_bytes, held_disk_bytes)
        if key not in self._chosen:
            self._chosen[key] = self._choice(needs, held_disk_bytes) or _free_size(nodes, image)
        return self._chosen[key]

    def _choice(self, needs: Needs, held_disk_bytes: int) -> Size | None:
        """Return the size by the smallest flavor that fits, None for a free size or a problem.

        Of the flavors that fit, one that does not shrink the ``held_disk_bytes`` is preferred, because that loses no data.
        """
        named = needs.nodes.flavor
        if self._offered is None:
            if named and self._known:
                self._add(flavor_errors.no_flavors(needs, self._site))
            return None
        if named:
            return self._named(named, needs)
        fitting = [flavor for flavor in self._offered if needs.fit(flavor)]
        if not fitting:
            self._add(flavor_errors.none_fits(needs, self._site, self._offered))
            return None
        keeping = (flavor for flavor in fitting if not flavor.disk_bytes or flavor.disk_bytes >= held_disk_bytes)
        return _size_of(next(keeping, fitting[0]), needs)

    def _named(self, name: str, needs: Needs) -> Size | None:
        flavor = self._by_name.get(name)
        if flavor is None:
            self._add(flavor_errors.unknown_flavor(needs, self._site, list(self._by_name)))
            return None
        if not needs.fit(flavor):
            self._add(flavor_errors.too_small(needs, flavor))
            return None
        return _size_of(flavor, needs)

    def _add(self, problem: Problem) -> None:
        self._problems[problem] = None


def _free_size(nodes: WantedNodes, image: WantedImage) -> Size:
    return Size(nodes.cpus, nodes.memory_mib, nodes.disk_bytes or image.virtual_size_bytes)


def _size_of(flavor: Flavor, needs: Needs) -> Size:
    request = size_request(needs.nodes)
    return Size(flavor.cpus, flavor.memory_mib, flavor.disk_bytes or needs.disk_bytes, flavor.name, request)


def _is_reduced(before: SizeRequest, after: SizeRequest) -> bool:
    """True if ``after`` requests less of anything than ``before``, or no longer names its flavor."""
    return (
        after.cpus < before.cpus
        or after.memory_mib < before.memory_mib
        or after.disk_bytes < before.disk_bytes
        or bool(before.flavor and not after.flavor)
        or any(dict(after.devices).get(alias, 0) < count for alias, count in before.devices)
    )
