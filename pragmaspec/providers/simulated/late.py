"""MACs and addresses that a simulated site chooses itself, as clouds do."""

from hashlib import blake2b
from ipaddress import IPv4Address, IPv4Network

from msgspec.structs import replace

from pragmaspec.errors import SiteCapacityError
from pragmaspec.planning.allocation.pools import public_addresses
from pragmaspec.planning.late.values import with_translated_macs
from pragmaspec.providers.base import BootRequest
from pragmaspec.providers.simulated.objects import Grant, MachineInterface, SimulatedMachine
from pragmaspec.providers.simulated.queries import site_inventory
from pragmaspec.providers.simulated.world import World
from pragmaspec.resources import Allocation, Nic, Node, Outputs
from pragmaspec.site import PublicNetwork, SimulatedSite

_FIRST_HOST = 100
"""Offset of the first address of machines in a network; no plan would choose it."""


def with_own_values(world: World, site: SimulatedSite, request: BootRequest, before: SimulatedMachine | None) -> BootRequest:
    """Return ``request`` with the values of its machine: those of ``before``, or new ones."""
    if not site.late:
        return request
    kept = before if before is not None and before.disk and before.generation == request.mark.generation else None
    interfaces = {each.network: each for each in kept.interfaces} if kept is not None else {}
    node, made = request.node, world.next_made()
    nics = tuple(_with_values(world, site, request, nic, interfaces.get(nic.network), made) for nic in node.nics)
    return replace(request, node=replace(node, nics=with_translated_macs(nics)))


def interfaces_of(site: SimulatedSite, node: Node) -> tuple[MachineInterface, ...]:
    """Return the interfaces of the machine of ``node``; none if the site chooses nothing."""
    if not site.late:
        return ()
    return tuple(MachineInterface(network=nic.network, mac=nic.mac, address=nic.address) for nic in node.interfaces)


def boot_outputs(site: SimulatedSite, machine: SimulatedMachine) -> Outputs:
    """Return the values of ``machine`` that the site has chosen."""
    found: list[tuple[str, str]] = []
    for each in machine.interfaces:
        found += [(f"mac:{each.network}", each.mac)] if "macs" in site.late else []
        found += [(f"address:{each.network}", each.address)] if "private" in site.late and each.network != "public" else []
    return tuple(sorted(found))


def with_public_addresses(world: World, site: SimulatedSite, wanted: Allocation, before: Grant | None) -> Allocation:
    """Return ``wanted`` with an address for each grant without one: the one it has already, or a free one of the pool."""
    named = {grant.address for grant in wanted.public}
    held = [address for address in (before.public if before is not None else ()) if address not in named]
    public = []
    for grant in wanted.public:
        if grant.address:
            public.append(grant)
            continue
        address = held.pop(0) if held else _free_public(world, site, named)
        named.add(address)
        public.append(replace(grant, address=address))
    return replace(wanted, public=tuple(public))


def allocation_outputs(site: SimulatedSite, allocation: Allocation) -> Outputs:
    """Return the public addresses of ``allocation``, if the site chooses them."""
    if "public" not in site.late:
        return ()
    return tuple(sorted((f"public:{grant.node}", grant.address) for grant in allocation.public))


def _free_public(world: World, site: SimulatedSite, taken: set[str]) -> str:
    pool = tuple(public_addresses(site.public or PublicNetwork(), site_inventory(world, site)))
    # From the end: no plan would choose so.
    address = next((each for each in reversed(pool) if each not in world.addresses and each not in taken), None)
    if address is None:
        raise SiteCapacityError(
            "No free public address", f"Site {site.name} has no free public address. Clean clusters that are no longer needed."
        )
    return address


def _with_values(
    world: World, site: SimulatedSite, request: BootRequest, nic: Nic, own: MachineInterface | None, made: int
) -> Nic:
    if "macs" in site.late:
        nic = replace(nic, mac=own.mac if own is not None else _mac(site, made, nic.network))
    if "private" in site.late and nic.network != "public":
        network = IPv4Network(next(each.cidr for each in request.allocation.networks if each.name == nic.network), strict=False)
        # A machine that is attached to another network gets an address there.
        is_kept = own is not None and own.address and IPv4Address(own.address) in network
        nic = replace(nic, address=own.address if own is not None and is_kept else _free_address(world, network, made))
    return nic


def _mac(site: SimulatedSite, made: int, network: str) -> str:
    digest = blake2b(f"{site.name} {made} {network}".encode(), digest_size=3).digest().hex(":")
    return f"fa:16:3e:{digest}"


def _free_address(world: World, network: IPv4Network, made: int) -> str:
    count = network.num_addresses - 3  # without the network's own address, the broadcast address and a router
    for step in range(count):
        address = str(network.network_address + 2 + (_FIRST_HOST + made + step) % count)
        if address not in world.hosts:
            return address
    raise SiteCapacityError("No free address", f"{network} is full. Use a larger range.")
