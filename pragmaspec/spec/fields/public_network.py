"""Whether the addresses of a site's public network are ones that its frontends can have."""

from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address, IPv4Network

from pragmaspec.spec.value_errors import PartError


def public_network_errors(addresses: Sequence[str], prefix: int | None, gateway: str | None) -> Iterator[PartError]:
    """What is wrong with ``addresses`` (values of :func:`.addresses.address_range`), and with the ``gateway`` beside them."""
    ranges = [_ends(entry) for entry in addresses]
    for position, (first, last) in enumerate(ranges):
        earlier = zip(addresses[:position], ranges[:position], strict=True)
        before = next((entry for entry, (low, high) in earlier if low <= last and first <= high), None)
        if before is not None:
            what = before if before == addresses[position] else f"some of {addresses[position]}"
            detail = f"{what} is there already, in entry {addresses.index(before) + 1}; name each address once"
            yield ("addresses", position), "Addresses twice", detail
    if gateway and any(first <= IPv4Address(gateway) <= last for first, last in ranges):
        yield (
            ("gateway",),
            "Gateway among the addresses",
            f"clusters would take {gateway}, which is the router's; leave it out there",
        )
    if ranges and prefix is not None:
        yield from _outside(ranges, IPv4Network(f"{ranges[0][0]}/{prefix}", strict=False), gateway)


def _outside(ranges: Sequence[tuple[IPv4Address, IPv4Address]], network: IPv4Network, gateway: str | None) -> Iterator[PartError]:
    """What does not belong into ``network``, that of the first address."""
    whose = f"{network}, the network of the first address by its `prefix`"
    for position, (first, last) in enumerate(ranges):
        at = ("addresses", position)
        if last not in network or first not in network:
            yield (
                at,
                "Address outside the network",
                f"{last if last not in network else first} is not in {whose}; correct one of them",
            )
        elif first == network.network_address:
            yield at, "Not a usable address", f"{first} is the address of the network {network} itself; write the next one"
        elif last == network.broadcast_address:
            yield at, "Not a usable address", f"{last} is for all of the network {network} at once; write the one before"
    if gateway and IPv4Address(gateway) not in network:
        yield (
            ("gateway",),
            "Gateway outside the network",
            f"{gateway} is not in {whose}, so no frontend can reach it; correct one of them",
        )


def _ends(entry: str) -> tuple[IPv4Address, IPv4Address]:
    first, _, last = entry.partition("-")
    return IPv4Address(first), IPv4Address(last or first)
