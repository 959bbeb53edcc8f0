"""Validation of the addresses of a site's public network."""

from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address, IPv4Network

from pragmaspec.spec.value_errors import PartError


def public_network_errors(addresses: Sequence[str], prefix: int | None, gateway: str | None) -> Iterator[PartError]:
    """Yield the errors in ``addresses`` (values of :func:`.addresses.address_range`) and ``gateway``."""
    ranges = [_ends(entry) for entry in addresses]
    for position, (first, last) in enumerate(ranges):
        earlier = zip(addresses[:position], ranges[:position], strict=True)
        before = next((entry for entry, (low, high) in earlier if low <= last and first <= high), None)
        if before is not None:
            duplicate = before if before == addresses[position] else f"part of {addresses[position]}"
            detail = f"{duplicate} is already in entry {addresses.index(before) + 1}; list each address once"
            yield ("addresses", position), "Duplicate address", detail
    if gateway and any(first <= IPv4Address(gateway) <= last for first, last in ranges):
        detail = f"{gateway} is the router's address, and clusters must not use it; remove it from `addresses`"
        yield ("gateway",), "Gateway among the addresses", detail
    if ranges and prefix is not None:
        yield from _outside(ranges, IPv4Network(f"{ranges[0][0]}/{prefix}", strict=False), gateway)


def _outside(ranges: Sequence[tuple[IPv4Address, IPv4Address]], network: IPv4Network, gateway: str | None) -> Iterator[PartError]:
    """Yield the errors of addresses that are not usable host addresses of ``network``, the network of the first one."""
    described = f"{network}, the network of the first address with this `prefix`"
    for position, (first, last) in enumerate(ranges):
        at = ("addresses", position)
        if last not in network or first not in network:
            outside = last if last not in network else first
            yield at, "Address outside the network", f"{outside} is not in {described}; correct one of them"
        elif first == network.network_address:
            yield at, "Not a usable address", f"{first} is the network address of {network}; write the next address"
        elif last == network.broadcast_address:
            yield at, "Not a usable address", f"{last} is the broadcast address of {network}; write the previous address"
    if gateway and IPv4Address(gateway) not in network:
        detail = f"{gateway} is not in {described}, so frontends cannot reach it; correct one of them"
        yield ("gateway",), "Gateway outside the network", detail


def _ends(entry: str) -> tuple[IPv4Address, IPv4Address]:
    first, _, last = entry.partition("-")
    return IPv4Address(first), IPv4Address(last or first)
