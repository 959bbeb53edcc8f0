"""Translates addresses between the names that moved objects were created under and their recorded names. Pure.

Marks carry the address that an object was created under. Where a site identifies objects by name alone (a disk without a machine,
a static DHCP entry), their reported address begins with the site's current name.
"""

from collections.abc import Iterable, Mapping
from typing import TypeVar

from msgspec.structs import replace

from pragmaspec.planning.observed import (
    CapacityUse,
    ExclusiveUse,
    Inventory,
    Observations,
    ObservedAllocation,
    ObservedNode,
    PoolUse,
)
from pragmaspec.planning.wanted import Move
from pragmaspec.state_model import State

_Use = TypeVar("_Use", CapacityUse, PoolUse, ExclusiveUse)


def recorded_addresses(state: State) -> dict[str, str]:
    """Map the original address of each moved object to its recorded one."""
    return {record.origin: record.address for record in state.records if record.origin}


def observations_by_origin(
    observations: Mapping[str, Observations], state: State, moves: Iterable[Move]
) -> dict[str, Observations]:
    """Return ``observations``, without sites that ``moves`` rename, by the original addresses of objects."""
    renamed = {move.before for move in moves if move.kind == "site"}
    return {name: by_origin(seen, state) for name, seen in observations.items() if name not in renamed}


def by_origin(seen: Observations, state: State) -> Observations:
    """Return ``seen`` with every address of ours replaced by the one that the object was created under."""
    origins = {
        f"{seen.site}/{_without_site(origin)}": origin
        for origin in recorded_addresses(state)
        if origin.split("/", 1)[0] != seen.site
    }
    if origins:
        current = {record.original_address for record in state.records}
        origins = {alias: origin for alias, origin in origins.items() if alias not in current}
    if not origins:
        return seen
    marked = {node.address for node in seen.nodes}
    nodes = [
        replace(node, address=origins.get(node.address, node.address))
        for node in seen.nodes
        if origins.get(node.address) not in marked  # a machine has more facts than its disk alone
    ]
    return replace(
        seen,
        nodes=tuple(sorted(nodes, key=_address)),
        allocations=_merged(seen.allocations, origins),
        volumes=tuple(replace(volume, address=origins.get(volume.address, volume.address)) for volume in seen.volumes),
    )


def by_recorded_address(inventory: Inventory, state: State, site: str) -> Inventory:
    """Return ``inventory`` of ``site`` with every address of ours replaced by the recorded one."""
    moved = recorded_addresses(state)
    if not moved:
        return inventory
    current = {record.original_address for record in state.records}
    aliases = {f"{site}/{_without_site(origin)}": address for origin, address in moved.items()}
    addresses = {**{alias: address for alias, address in aliases.items() if alias not in current}, **moved}
    return replace(
        inventory,
        holdings=_readdressed(inventory.holdings, addresses, state.lineage),
        addresses=_readdressed(inventory.addresses, addresses, state.lineage),
        vlans=_readdressed(inventory.vlans, addresses, state.lineage),
        cidrs=_readdressed(inventory.cidrs, addresses, state.lineage),
        volumes=_readdressed(inventory.volumes, addresses, state.lineage),
        device_uses=_readdressed(inventory.device_uses, addresses, state.lineage),
        cpu_uses=_readdressed(inventory.cpu_uses, addresses, state.lineage),
    )


def _without_site(address: str) -> str:
    """Return ``<cluster>/node/<name>``."""
    return address.partition("/")[2]


def _merged(allocations: tuple[ObservedAllocation, ...], origins: Mapping[str, str]) -> tuple[ObservedAllocation, ...]:
    """Return ``allocations`` with those observed under two addresses merged."""
    found = [each for each in allocations if each.address not in origins]
    for each in allocations:
        origin = origins.get(each.address)
        if origin is None:
            continue
        at = next((index for index, other in enumerate(found) if other.address == origin), None)
        if at is None:
            found.append(replace(each, address=origin))
        else:
            found[at] = _union(found[at], each)
    return tuple(sorted(found, key=_address))


def _union(one: ObservedAllocation, other: ObservedAllocation) -> ObservedAllocation:
    return replace(
        one,
        networks=tuple(sorted({*one.networks, *other.networks})),
        public=tuple(sorted({*one.public, *other.public})),
        vlans=tuple(sorted({*one.vlans, *other.vlans})),
    )


def _readdressed(uses: tuple[_Use, ...], addresses: Mapping[str, str], lineage: str) -> tuple[_Use, ...]:
    return tuple(
        replace(use, address=addresses[use.address])
        if use.lineage == lineage and use.address and use.address in addresses
        else use
        for use in uses
    )


def _address(seen: ObservedNode | ObservedAllocation) -> str:
    return seen.address
