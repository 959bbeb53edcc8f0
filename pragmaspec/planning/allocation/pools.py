"""Free values of a site's pools: VLAN numbers, private ranges, public addresses.

The order of the choice is fixed, so the same inputs give the same values.
"""

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv4Network

from msgspec.structs import replace

from pragmaspec.planning.observed import Inventory, PoolUse
from pragmaspec.resources import STANDARD_MTU, PublicGrant
from pragmaspec.site import PublicNetwork, Site, SiteBase

UNKNOWN_RANGE = "0.0.0.0/0"
"""Range of a network of which only the existence is known. It uses no addresses."""
FIRST_PUBLIC_HOST = 10
"""Offset in a public network of the first address to use if the site names none; lower ones are commonly routers."""


class Pool:
    """The used values of one kind at a site, of all owners. It grows while a plan is made."""

    def __init__(self, uses: Iterable[PoolUse], lineage: str) -> None:
        self._uses = {use.value: use for use in uses}
        self._lineage = lineage

    def use_of(self, value: str) -> PoolUse | None:
        """Return the use of ``value``, or None."""
        return self._uses.get(value)

    def other_use_of(self, value: str, address: str) -> PoolUse | None:
        """Return the use of ``value`` by anything but ``address`` of this stack: other stacks can have a cluster of that name."""
        use = self._uses.get(value)
        return None if use is None or (use.lineage, use.address) == (self._lineage, address) else use

    def take(self, value: str, cluster: str, address: str) -> None:
        """Record ``value`` as used by ``address``, the allocation of ``cluster`` in this plan."""
        owner = f"cluster {cluster} of this spec"
        self._uses[value] = PoolUse(value=value, owner=owner, lineage=self._lineage, address=address)

    def uses(self, values: Iterable[str] | None = None) -> tuple[PoolUse, ...]:
        """Return the uses of ``values``, in their order; without ``values`` all."""
        return tuple(self._uses[value] for value in (self._uses if values is None else values) if value in self._uses)


def vlan_numbers(site: SiteBase) -> Iterator[int]:
    """Return the site's VLAN numbers in the order of its ranges."""
    for first, last in site.vlans:
        yield from range(first, last + 1)


def vlan_ranges(site: SiteBase) -> str:
    """Return ``20-99, 120``."""
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in site.vlans)


def private_range(vlan: int | None, pool: Pool, public: IPv4Network | None) -> str | None:
    """Return a /16 of 10.0.0.0/8 that overlaps nothing in use, or None if all 256 do.

    10.<vlan>.0.0/16 if possible, so that the address shows the VLAN; else the first free one.
    """
    used = [IPv4Network(use.value, strict=False) for use in pool.uses()]
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
    """Return the addresses for frontends, in order: those the site names, else the usable ones of its public network."""
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
    """Return the public network reported by the site, else the one of its first address and prefix; None: unknown."""
    if inventory.public and inventory.public.cidr:
        return IPv4Network(inventory.public.cidr, strict=False)
    if public and public.addresses and public.prefix is not None:
        return IPv4Network(f"{public.addresses[0].partition('-')[0].strip()}/{public.prefix}", strict=False)
    return None


def gateway_of(public: PublicNetwork, inventory: Inventory) -> str | None:
    """Return the public network's gateway: the spec's, else the reported one."""
    return public.gateway or (inventory.public.gateway if inventory.public else None)


def dns_of(public: PublicNetwork, inventory: Inventory) -> tuple[str, ...]:
    """Return the name servers of nodes: the spec's, else the reported ones."""
    return public.dns or (inventory.public.dns if inventory.public else ())


def prefix_of(public: PublicNetwork, inventory: Inventory) -> int | None:
    """Return the prefix length of the public network: the spec's, else the reported one; None: unknown."""
    if public.prefix is not None:
        return public.prefix
    if inventory.public and inventory.public.cidr:
        return IPv4Network(inventory.public.cidr, strict=False).prefixlen
    return None


def mtu_of(public: PublicNetwork, inventory: Inventory) -> int | None:
    """Return the MTU of the public network: the spec's, else the reported one; None: 1500 bytes."""
    return _unless_standard(public.mtu or (inventory.public.mtu if inventory.public else None))


def refreshed_grant(grant: PublicGrant, site: Site) -> PublicGrant:
    """Return ``grant`` with the spec's current options of its network; unset options stay as granted."""
    public = site.public
    if public is None:
        return grant
    if grant.translated:
        return replace(grant, dns=public.dns or grant.dns, fqdn=dict(public.names).get(grant.address))
    return replace(
        grant,
        prefix=public.prefix or grant.prefix,
        gateway=public.gateway or grant.gateway,
        dns=public.dns or grant.dns,
        fqdn=dict(public.names).get(grant.address),
        mtu=_unless_standard(public.mtu or grant.mtu),
    )


def _unless_standard(mtu: int | None) -> int | None:
    return None if mtu == STANDARD_MTU else mtu
