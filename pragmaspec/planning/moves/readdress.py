"""What sites say of things that have moved since they were made, in the names that planning looks for them by. Pure.

Marks carry the address that a thing was made under. Where a site goes by names alone (a disk without a machine, a static DHCP
entry), what is told of it begins with what the site is called now.
"""

from collections.abc import Mapping
from typing import TypeVar

from msgspec.structs import replace

from pragmaspec.planning.observed import CapacityUse, Inventory, Observations, ObservedAllocation, ObservedNode, PoolUse
from pragmaspec.state_model import State

_Held = TypeVar("_Held", CapacityUse, PoolUse)


def recorded_addresses(state: State) -> dict[str, str]:
    """The address of the record by the one that its object was made under, of everything that has moved."""
    return {record.origin: record.address for record in state.records if record.origin}


def by_origin(seen: Observations, state: State) -> Observations:
    """``seen`` with every address of ours as the one that the object was made under."""
    told = {
        f"{seen.site}/{_inside(origin)}": origin for origin in recorded_addresses(state) if origin.split("/", 1)[0] != seen.site
    }
    own = {record.original_address for record in state.records}
    told = {alias: origin for alias, origin in told.items() if alias not in own}
    if not told:
        return seen
    marked = {node.address for node in seen.nodes}
    nodes = [
        replace(node, address=told.get(node.address, node.address))
        for node in seen.nodes
        if told.get(node.address) not in marked  # the machine itself tells more than its disk does
    ]
    return replace(seen, nodes=tuple(sorted(nodes, key=_address)), allocations=_joined(seen.allocations, told))


def by_recorded_address(inventory: Inventory, state: State, site: str) -> Inventory:
    """``inventory`` of ``site`` with every address of ours as the recorded one."""
    origins = recorded_addresses(state)
    if not origins:
        return inventory
    own = {record.original_address for record in state.records}
    aliases = {f"{site}/{_inside(origin)}": address for origin, address in origins.items()}
    told = {**{alias: address for alias, address in aliases.items() if alias not in own}, **origins}
    return replace(
        inventory,
        holdings=_renamed(inventory.holdings, told, state.lineage),
        addresses=_renamed(inventory.addresses, told, state.lineage),
        vlans=_renamed(inventory.vlans, told, state.lineage),
        cidrs=_renamed(inventory.cidrs, told, state.lineage),
    )


def _inside(address: str) -> str:
    """``<cluster>/node/<name>``: an address without its site."""
    return address.partition("/")[2]


def _joined(allocations: tuple[ObservedAllocation, ...], told: Mapping[str, str]) -> tuple[ObservedAllocation, ...]:
    """What is told of an allocation under two addresses, as one."""
    found = [each for each in allocations if each.address not in told]
    for each in allocations:
        origin = told.get(each.address)
        at = next((index for index, one in enumerate(found) if one.address == origin), None)
        if origin is not None and at is None:
            found.append(replace(each, address=origin))
        elif origin is not None and at is not None:
            known = found[at]
            found[at] = replace(
                known,
                networks=tuple(sorted({*known.networks, *each.networks})),
                public=tuple(sorted({*known.public, *each.public})),
                vlans=tuple(sorted({*known.vlans, *each.vlans})),
            )
    return tuple(sorted(found, key=_address))


def _renamed(held: tuple[_Held, ...], told: Mapping[str, str], lineage: str) -> tuple[_Held, ...]:
    return tuple(
        replace(each, address=told[each.address]) if each.lineage == lineage and each.address and each.address in told else each
        for each in held
    )


def _address(seen: ObservedNode | ObservedAllocation) -> str:
    return seen.address
