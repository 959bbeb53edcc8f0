"""What is free in a site's pools: VLAN numbers, private ranges, public addresses.

Chosen in order, so that the same question has the same answer.
"""

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv4Network

from msgspec.structs import replace

from pragmaspec.planning.observed import Inventory, PoolUse
from pragmaspec.resources import PublicGrant
from pragmaspec.site import PublicNetwork, Site, SiteBase

STANDARD_MTU = 1500
FIRST_PUBLIC_HOST = 10
"""Offset in a public network at which our choice begins when the site names no addresses; below it people put their routers."""


class Pool:
    """The values of one kind that a site has handed out, ours and others'; grows while a plan is made."""

    def __init__(self, taken: Iterable[PoolUse], lineage: str) -> None:
        self._holder = {entry.value: entry for entry in taken}
        self._lineage = lineage

    def holder(self, value: str) -> PoolUse | None:
        """Who holds ``value``, or None."""
        return self._holder.get(value)

    def other_holder(self, value: str, address: str) -> PoolUse | None:
        """Who holds ``value``, unless it is ``address`` of this stack: another stack may well have a cluster of that name."""
        holder = self._holder.get(value)
        return None if holder is None or (holder.lineage, holder.address) == (self._lineage, address) else holder

    def take(self, value: str, cluster: str, address: str) -> None:
        """Note that ``value`` now belongs to ``address``, the allocation of ``cluster`` in this plan."""
        owner = f"cluster {cluster} of this spec"
        self._holder[value] = PoolUse(value=value, owner=owner, lineage=self._lineage, address=address)

    def held(self, values: Iterable[str] | None = None) -> tuple[PoolUse, ...]:
        """Who holds each of ``values`` that is taken, in their order; without ``values`` everything that is taken."""
        return tuple(self._holder[value] for value in (self._holder if values is None else values) if value in self._holder)


def vlan_numbers(site: SiteBase) -> Iterator[int]:
    """The site's VLAN numbers in the order of its ranges."""
    for first, last in site.vlans:
        yield from range(first, last + 1)


def vlan_ranges(site: SiteBase) -> str:
    """The ranges themselves, for people."""
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in site.vlans)


def private_range(vlan: int | None, pool: Pool, public: IPv4Network | None) -> str | None:
    """A /16 for a private network that overlaps nothing taken; None: all 256 of 10.0.0.0/8 are.

    10.<vlan>.0.0/16 when possible, so that number and addresses tell each other; else the first free one.
    """
    used = [IPv4Network(entry.value, strict=False) for entry in pool.held()]
    if public:
        used.append(public)
    second_octets = list(range(256))
    if vlan is not None and vlan < len(second_octets):
        second_octets.insert(0, vlan)
    for octet in second_octets:
        candidate = IPv4Network(f"10.{octet}.0.0/16")
        if not any(candidate.overlaps(network) for network in used):
            return str(candidate)
    return None


def public_addresses(public: PublicNetwork, inventory: Inventory) -> Iterator[str]:
    """The addresses a site may give to frontends, in order: those it names, else the usable ones of its public network."""
    for entry in public.addresses:
        first, _, last = entry.partition("-")
        start, end = int(IPv4Address(first.strip())), int(IPv4Address((last or first).strip()))
        for number in range(start, end + 1):
            yield str(IPv4Address(number))
    reported = inventory.public.cidr if inventory.public else None
    if not public.addresses and reported:
        network = IPv4Network(reported, strict=False)
        first_host, last_host = int(network.network_address) + 1, int(network.broadcast_address) - 1
        start = min(int(network.network_address) + FIRST_PUBLIC_HOST, last_host)
        gateway = gateway_of(public, inventory)
        for number in (*range(start, last_host + 1), *range(first_host, start)):
            address = str(IPv4Address(number))
            if address != gateway:
                yield address


def public_network(public: PublicNetwork | None, inventory: Inventory) -> IPv4Network | None:
    """The public network as the site reports it, else as its first address and prefix tell; None: nobody says."""
    if inventory.public and inventory.public.cidr:
        return IPv4Network(inventory.public.cidr, strict=False)
    if public and public.addresses and public.prefix is not None:
        return IPv4Network(f"{public.addresses[0].partition('-')[0].strip()}/{public.prefix}", strict=False)
    return None


def gateway_of(public: PublicNetwork, inventory: Inventory) -> str | None:
    """The public network's gateway: the site's word, else what it reports."""
    return public.gateway or (inventory.public.gateway if inventory.public else None)


def dns_of(public: PublicNetwork, inventory: Inventory) -> tuple[str, ...]:
    """Name servers for nodes: the site's word, else what it reports."""
    return public.dns or (inventory.public.dns if inventory.public else ())


def prefix_of(public: PublicNetwork, inventory: Inventory) -> int | None:
    """Prefix length of the public network: the site's word, else what it reports; None: neither says."""
    if public.prefix is not None:
        return public.prefix
    if inventory.public and inventory.public.cidr:
        return IPv4Network(inventory.public.cidr, strict=False).prefixlen
    return None


def mtu_of(public: PublicNetwork, inventory: Inventory) -> int | None:
    """MTU of the public network: the site's word, else what it reports; None: the usual 1500 bytes."""
    return _unusual(public.mtu or (inventory.public.mtu if inventory.public else None))


def refreshed_grant(grant: PublicGrant, site: Site) -> PublicGrant:
    """``grant`` with what the spec says of its network by now; what it does not say stays as it was granted."""
    public = site.public
    if public is None:
        return grant
    return replace(
        grant,
        prefix=public.prefix or grant.prefix,
        gateway=public.gateway or grant.gateway,
        dns=public.dns or grant.dns,
        fqdn=dict(public.names).get(grant.address),
        mtu=_unusual(public.mtu or grant.mtu),
    )


def _unusual(mtu: int | None) -> int | None:
    return None if mtu == STANDARD_MTU else mtu
