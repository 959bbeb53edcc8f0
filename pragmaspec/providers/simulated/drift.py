"""Differences between machines, as edited in the file of a simulated site, and their records. Pure."""

from collections.abc import Mapping
from typing import TypeGuard

from pragmaspec.planning.allocation.device_requests import device_addresses
from pragmaspec.planning.allocation.pin_requests import cpu_ranges
from pragmaspec.planning.observed import Difference
from pragmaspec.providers.simulated.objects import SimulatedMachine
from pragmaspec.resources import Node
from pragmaspec.site import SimulatedSite
from pragmaspec.state_model import State
from pragmaspec.text import joined

RecordedParts = Mapping[str, tuple[tuple[str, ...], tuple[int, ...]]]
"""The devices and the host CPUs that nodes are recorded with, by the address that their machines were created under."""


def recorded_parts(site: SimulatedSite, recorded: State | None) -> RecordedParts | None:
    """Return the parts of the host that ``recorded`` nodes have; None if machines here have none, or there is no record."""
    if recorded is None or not (site.devices or site.host.threads or site.flavors):
        return None
    nodes = ((record.original_address, record.resource) for record in recorded.records)
    return {address: (device_addresses(node), node.pinned) for address, node in nodes if _is_here(node, site)}


def part_differences(machine: SimulatedMachine, recorded: RecordedParts) -> tuple[Difference, ...]:
    """Return the differences of the devices and host CPUs of ``machine``."""
    if machine.status == "undefined" or machine.address not in recorded:
        return ()
    devices, pinned = recorded[machine.address]
    found = []
    if machine.devices != devices:
        has = joined(machine.devices) or "no devices"
        found.append(Difference(detail=f"has {has}, recorded {joined(devices) or 'none'}", repair="restart"))
    if machine.pinned != pinned:
        shown = _in_order if sorted(machine.pinned) == sorted(pinned) else cpu_ranges
        has = f"is pinned to {shown(machine.pinned)}" if machine.pinned else "is not pinned"
        found.append(Difference(detail=f"{has}, recorded {shown(pinned) or 'as not pinned'}", repair="restart"))
    return tuple(found)


def _is_here(resource: object, site: SimulatedSite) -> TypeGuard[Node]:
    return isinstance(resource, Node) and resource.site == site.name


def _in_order(cpus: tuple[int, ...]) -> str:
    return ",".join(map(str, cpus))
