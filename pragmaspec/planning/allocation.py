"""Which VLAN, private range and public address a cluster gets: a pure choice from (wanted, recorded, the site's inventory).

What a cluster holds it keeps, unless the spec now names something else.
"""

from ipaddress import IPv4Network

from pragmaspec.errors import Problem, Where
from pragmaspec.planning import pools
from pragmaspec.planning.observed import Inventory, SiteIdentity, Taken
from pragmaspec.planning.pools import Pool
from pragmaspec.planning.wanted import WantedCluster, WantedNetwork
from pragmaspec.recorded import Allocation, Network, PublicGrant, State
from pragmaspec.site import PublicNetwork, Site

FIRST_COMPUTE = 10
"""Offset in the private network of ``compute-0``; the frontend has offset 1, and what lies between is left for services."""

SHOWN_HOLDERS = 5
"""How many holders of a pool an error names before it counts the rest."""


class NoneFreeError(Exception):
    """A pool cannot give what is wanted; the problem says which and why. Never leaves the planning room."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        super().__init__(problem.summary)


def frontend_node(cluster: str) -> str:
    """Name of a cluster's frontend."""
    return f"{cluster}-frontend"


def satisfies(recorded: Allocation, wanted: WantedCluster) -> bool:
    """Whether ``recorded`` already grants all that ``wanted`` asks for, so that no pool needs to be asked."""
    private = recorded.private
    return (
        (wanted.cidr is None or wanted.cidr == private.cidr)
        and (wanted.vlan is None or wanted.vlan == private.vlan)
        and _room(private.cidr, wanted.computes.count)
        and {network.name for network in recorded.networks[1:]} == {network.name for network in wanted.networks}
        and all(_extra_satisfied(recorded, network) for network in wanted.networks)
        and _public_satisfied(recorded, wanted)
    )


class Allocator:
    """Hands out one site's pools while one plan is made."""

    def __init__(self, site: Site, inventory: Inventory | None, state: State) -> None:
        self._site = site
        self._inventory = inventory
        ours = tuple(
            record.resource
            for record in state.records
            if isinstance(record.resource, Allocation) and record.resource.site == site.name
        )
        seen = inventory or _NOTHING
        self._vlans = Pool((*seen.vlans, *_recorded_vlans(ours, state.lineage)))
        self._cidrs = Pool((*seen.cidrs, *_recorded_cidrs(ours, state.lineage)))
        self._public = Pool((*seen.addresses, *_recorded_public(ours, state.lineage)))

    def allocation(self, wanted: WantedCluster, recorded: Allocation | None) -> Allocation:
        """The allocation for ``wanted``. Raises NoneFreeError."""
        networks = (self._private(wanted, recorded), *(self._extra(wanted, network, recorded) for network in wanted.networks))
        return Allocation(
            site=self._site.name,
            cluster=wanted.name,
            networks=networks,
            public=self._public_grants(wanted, recorded),
            protect=wanted.protect,
        )

    def _private(self, wanted: WantedCluster, recorded: Allocation | None) -> Network:
        before = recorded.private if recorded else None
        keep_vlan = before is not None and before.vlan is not None and wanted.vlan in (None, before.vlan)
        vlan = before.vlan if before and keep_vlan else self._vlan(wanted, wanted.vlan, wanted.where)
        if before and keep_vlan and wanted.cidr in (None, before.cidr):
            cidr = before.cidr
        else:
            cidr = wanted.cidr or self._cidr(wanted, vlan)
        if not _room(cidr, wanted.computes.count):
            raise NoneFreeError(
                Problem(
                    summary="The private network is too small",
                    detail=f"{cidr} has room for {max(0, _hosts(cidr) - FIRST_COMPUTE + 1)} computes of cluster {wanted.name}, "
                    f"and the spec wants {wanted.computes.count}. Give the cluster a wider range.",
                    where=wanted.where,
                )
            )
        return Network(name="private", cidr=cidr, vlan=vlan, bridge=self._bridge(vlan), mtu=wanted.mtu)

    def _extra(self, wanted: WantedCluster, network: WantedNetwork, recorded: Allocation | None) -> Network:
        before = next((held for held in recorded.networks[1:] if held.name == network.name), None) if recorded else None
        if network.bridge is not None:
            return Network(name=network.name, cidr=network.cidr, bridge=network.bridge, mtu=network.mtu)
        vlan = before.vlan if before and before.vlan is not None else self._vlan(wanted, None, network.where)
        return Network(name=network.name, cidr=network.cidr, vlan=vlan, bridge=self._bridge(vlan), mtu=network.mtu)

    def _bridge(self, vlan: int | None) -> str | None:
        pattern = getattr(self._site, "bridge", None)
        return pattern.format(vlan=vlan) if pattern and vlan is not None else None

    def _vlan(self, wanted: WantedCluster, named: int | None, where: Where | None) -> int:
        numbers = pools.vlan_numbers(self._site)
        if named is not None:
            holder = self._vlans.holder(str(named))
            if named not in numbers:
                raise NoneFreeError(_outside("VLAN", str(named), _ranges(self._site), self._site.name, where))
            if holder and holder.address != _address(self._site, wanted):
                raise NoneFreeError(_held("VLAN", holder, self._site.name, where))
            chosen = named
        else:
            free = next((number for number in numbers if not self._vlans.holder(str(number))), None)
            if free is None:
                raise NoneFreeError(
                    _exhausted(
                        f"VLANs ({_ranges(self._site)})",
                        self._vlans,
                        self._site.name,
                        wanted,
                        "give the site more in its `vlans:`",
                    )
                )
            chosen = free
        self._vlans.take(str(chosen), wanted.name, _address(self._site, wanted))
        return chosen

    def _cidr(self, wanted: WantedCluster, vlan: int | None) -> str:
        public = self._inventory.public.cidr if self._inventory and self._inventory.public else None
        cidr = pools.private_range(vlan, self._cidrs, public)
        if cidr is None:
            raise NoneFreeError(
                _exhausted(
                    "private ranges in 10.0.0.0/8", self._cidrs, self._site.name, wanted, "give the cluster a `private: range:`"
                )
            )
        self._cidrs.take(cidr, wanted.name, _address(self._site, wanted))
        return cidr

    def _public_grants(self, wanted: WantedCluster, recorded: Allocation | None) -> tuple[PublicGrant, ...]:
        if wanted.public.kind == "none":
            return ()
        if recorded and _public_satisfied(recorded, wanted):
            return recorded.public
        where = wanted.public.where or wanted.where
        inventory = self._inventory or _NOTHING
        public = self._site.public or PublicNetwork()
        if self._site.public is None and inventory.public is None:
            raise NoneFreeError(
                Problem(
                    summary="The site has no public network",
                    detail=f"Cluster {wanted.name} wants a public address at site {self._site.name}, which names no "
                    "`public:` network and reports none. Give the site a `public:` network, or the cluster `public: none`.",
                    where=where,
                )
            )
        address = self._public_address(wanted, public, inventory, where)
        prefix = pools.prefix_of(public, inventory)
        if prefix is None:
            raise NoneFreeError(
                Problem(
                    summary="The public network has no prefix",
                    detail=f"Site {self._site.name} does not report the size of its public network. "
                    "Write `prefix:` under the site's `public:`.",
                    where=where,
                )
            )
        reported = inventory.public
        bridge = public.bridge or (reported.bridge if reported and not public.network else None)
        return (
            PublicGrant(
                node=frontend_node(wanted.name),
                address=address,
                prefix=prefix,
                gateway=pools.gateway_of(public, inventory),
                dns=pools.dns_of(public, inventory),
                fqdn=dict(public.names).get(address),
                network=None if bridge else public.network or (reported.network if reported else None),
                bridge=bridge,
            ),
        )

    def _public_address(self, wanted: WantedCluster, public: PublicNetwork, inventory: Inventory, where: Where | None) -> str:
        named = wanted.public.address
        allocation = _address(self._site, wanted)
        if named is not None:
            holder = self._public.holder(named)
            if named not in pools.public_addresses(public, inventory):
                pool = ", ".join(public.addresses) or (inventory.public and inventory.public.cidr) or "nothing"
                raise NoneFreeError(_outside("address", named, pool, self._site.name, where))
            if holder and holder.address != allocation:
                raise NoneFreeError(_held("address", holder, self._site.name, where))
            chosen = named
        else:
            free = next((one for one in pools.public_addresses(public, inventory) if not self._public.holder(one)), None)
            if free is None:
                raise NoneFreeError(
                    _exhausted(
                        "public addresses",
                        self._public,
                        self._site.name,
                        wanted,
                        "give the site more in its `public: addresses:`",
                    )
                )
            chosen = free
        self._public.take(chosen, wanted.name, allocation)
        return chosen


_NOTHING = Inventory(
    identity=SiteIdentity(id="", title=""), cpus=0, memory_mib=0, disk_bytes=0, disk_free_bytes=0, cpus_per_node=0
)
"""Stands for a site that was not asked, because nothing new is wanted there."""


def _address(site: Site, wanted: WantedCluster) -> str:
    return f"{site.name}/{wanted.name}/allocation"


def _hosts(cidr: str) -> int:
    return IPv4Network(cidr, strict=False).num_addresses - 2


def _room(cidr: str, computes: int) -> bool:
    needed = FIRST_COMPUTE - 1 + computes if computes else 1
    return needed <= _hosts(cidr)


def _extra_satisfied(recorded: Allocation, wanted: WantedNetwork) -> bool:
    return any(
        held.name == wanted.name
        and held.cidr == wanted.cidr
        and held.mtu == wanted.mtu
        and (held.bridge == wanted.bridge if wanted.bridge else held.vlan is not None)
        for held in recorded.networks[1:]
    )


def _public_satisfied(recorded: Allocation, wanted: WantedCluster) -> bool:
    if wanted.public.kind == "none":
        return not recorded.public
    return bool(recorded.public) and wanted.public.address in (None, recorded.public[0].address)


def _recorded_vlans(ours: tuple[Allocation, ...], lineage: str) -> list[Taken]:
    return [
        Taken(value=str(network.vlan), owner=held.cluster, lineage=lineage, address=held.address)
        for held in ours
        for network in held.networks
        if network.vlan is not None
    ]


def _recorded_cidrs(ours: tuple[Allocation, ...], lineage: str) -> list[Taken]:
    return [
        Taken(value=network.cidr, owner=held.cluster, lineage=lineage, address=held.address)
        for held in ours
        for network in held.networks
    ]


def _recorded_public(ours: tuple[Allocation, ...], lineage: str) -> list[Taken]:
    return [
        Taken(value=grant.address, owner=held.cluster, lineage=lineage, address=held.address)
        for held in ours
        for grant in held.public
    ]


def _ranges(site: Site) -> str:
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in site.vlans)


def _outside(kind: str, value: str, pool: str, site: str, where: Where | None) -> Problem:
    return Problem(
        summary=f"The {kind} is not the site's to give",
        detail=f"{kind} {value} is not in the pool of site {site} ({pool}). Name one that is, or leave it out to get the first "
        "free one.",
        where=where,
    )


def _held(kind: str, holder: Taken, site: str, where: Where | None) -> Problem:
    return Problem(
        summary=f"The {kind} is taken",
        detail=f"{kind} {holder.value} at site {site} is held by {holder.owner}. Name another, or leave it out to get the first "
        "free one.",
        where=where,
    )


def _exhausted(what: str, pool: Pool, site: str, wanted: WantedCluster, cure: str) -> Problem:
    holders = ", ".join(f"{entry.value} by {entry.owner}" for entry in pool.held()[:SHOWN_HOLDERS]) or "nobody"
    more = len(pool.held()) - SHOWN_HOLDERS
    return Problem(
        summary=f"No free {what.partition(' (')[0]}",
        detail=f"Cluster {wanted.name} needs one more than site {site} has of its {what}. Taken: {holders}"
        + (f" and {more} more" if more > 0 else "")
        + f". Clean a cluster that is no longer needed, or {cure}.",
        where=wanted.where,
    )
