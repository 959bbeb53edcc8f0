"""Chooses the VLANs, private ranges and public addresses of clusters from the spec, the records and the site's inventory. Pure.

A cluster keeps what it has been granted, unless the spec names something else. Values that the spec names are reserved before any
choice, so the order of clusters does not matter.
"""

from collections.abc import Callable, Iterable
from ipaddress import IPv4Network

from msgspec.structs import replace

from pragmaspec.errors import Problem, Where
from pragmaspec.networking import Networking
from pragmaspec.planning.allocation import errors, pools
from pragmaspec.planning.allocation.node_addresses import has_frontend_address, node_capacity
from pragmaspec.planning.allocation.pools import Pool
from pragmaspec.planning.late.values import UNKNOWN
from pragmaspec.planning.observed import Inventory, PoolUse, SiteIdentity
from pragmaspec.planning.wanted import WantedCluster, WantedNetwork
from pragmaspec.resources import Allocation, Network, PublicGrant
from pragmaspec.site import PublicNetwork, Site
from pragmaspec.state_model import State

TRANSLATED_PREFIX = 32
"""Length of the prefix of an address for which no node has an interface."""


class AllocationError(Exception):
    """The pools cannot grant what is wanted. Never leaves the planning package."""

    def __init__(self, *problems: Problem) -> None:
        self.problems = problems
        super().__init__("; ".join(problem.summary for problem in problems))


def node_name(cluster: str, group: str, index: int) -> str:
    """Return the name of a node; ``group``: ``frontend``, ``compute`` or the name of its group."""
    return f"{cluster}-frontend" if group == "frontend" else f"{cluster}-{group}-{index}"


def connected_network(network: Network, networking: Networking) -> Network:
    """Return ``network`` as a site with this networking connects it, except that a missing VLAN stays missing."""
    if network.name != "private" and network.bridge is not None and network.vlan is None:
        return network
    first = IPv4Network(network.cidr, strict=False).network_address + 1
    gateway = str(first) if networking.router and network.name == "private" else None
    return replace(network, vlan=network.vlan if networking.vlans else None, gateway=gateway, dhcp=networking.dhcp)


def satisfies(recorded: Allocation, wanted: WantedCluster, site: Site) -> bool:
    """True if ``recorded`` grants all that ``wanted`` asks for, so that the pools are not needed."""
    private, networking = recorded.private, site.networking
    return (
        wanted.cidr in (None, private.cidr)
        and wanted.vlan in (None, private.vlan)
        and private == connected_network(private, networking)
        and _has_vlan(private, networking)
        and {network.name for network in recorded.networks[1:]} == {network.name for network in wanted.networks}
        and all(_extra_satisfied(recorded, network, networking) for network in wanted.networks)
        and _public_satisfied(recorded, wanted, site)
    )


class Allocator:
    """Allocates from one site's pools while one plan is made. ``clusters`` are all that the plan wants at the site."""

    def __init__(
        self,
        site: Site,
        inventory: Inventory | None,
        state: State,
        clusters: Iterable[WantedCluster] = (),
        spec_file: str = "the spec",
    ) -> None:
        clusters = tuple(clusters)
        self._spec_file = spec_file
        self._lineage = state.lineage
        self._clusters = {cluster.name: cluster for cluster in clusters}
        self._site = site
        self._inventory = inventory or _NO_INVENTORY
        recorded = tuple(
            record.resource
            for record in state.records
            if isinstance(record.resource, Allocation) and record.resource.site == site.name
        )
        self._vlans = Pool((*self._inventory.vlans, *_recorded_uses(recorded, state, _vlans)), state.lineage)
        self._cidrs = Pool((*self._inventory.cidrs, *_recorded_uses(recorded, state, _cidrs)), state.lineage)
        self._public = Pool((*self._inventory.addresses, *_recorded_uses(recorded, state, _addresses)), state.lineage)
        for cluster in clusters:
            self._reserve(cluster)

    def allocation(self, wanted: WantedCluster, recorded: Allocation | None) -> Allocation:
        """Return the allocation for ``wanted``. Raises AllocationError with every unavailable value."""
        problems: list[Problem] = []
        networks: list[Network] = []
        public: tuple[PublicGrant, ...] = ()
        for network in (None, *wanted.networks):
            try:
                networks.append(self._extra(wanted, network, recorded) if network else self._private(wanted, recorded))
            except AllocationError as error:
                problems += error.problems
        try:
            public = self._public_grants(wanted, recorded)
        except AllocationError as error:
            problems += error.problems
        if problems:
            raise AllocationError(*problems)
        return Allocation(
            site=self._site.name, cluster=wanted.name, networks=tuple(networks), public=public, protect=wanted.protect
        )

    def _reserve(self, wanted: WantedCluster) -> None:
        """Take the unused values that the spec names for ``wanted``."""
        address = _address(self._site, wanted)
        named = ((self._vlans, wanted.vlan and str(wanted.vlan)), (self._public, wanted.public.address))
        for pool, value in named:
            if value and not pool.use_of(value):
                pool.take(value, wanted.name, address)
        for cidr in (wanted.cidr, *(network.cidr for network in wanted.networks)):
            if cidr and not self._cidrs.use_of(cidr):
                self._cidrs.take(cidr, wanted.name, address)

    def _private(self, wanted: WantedCluster, recorded: Allocation | None) -> Network:
        before = recorded.private if recorded else None
        keeps = before is not None and wanted.vlan in (None, before.vlan) and _has_vlan(before, self._site.networking)
        vlan = before.vlan if before and keeps else self._vlan(wanted, wanted.vlan, wanted.where)
        cidr = before.cidr if before and keeps and wanted.cidr is None else wanted.cidr or self._cidr(wanted, vlan)
        if before is None or before.cidr != cidr:
            self._refuse_overlap("private", cidr, wanted, wanted.where)
        self._refuse_small("private", cidr, wanted, wanted.where)
        bridge = self._bridge(vlan)
        self._refuse_absent_bridge(bridge, before, wanted.where)
        found = Network(name="private", cidr=cidr, vlan=vlan, bridge=bridge, mtu=wanted.mtu)
        return connected_network(found, self._site.networking)

    def _extra(self, wanted: WantedCluster, network: WantedNetwork, recorded: Allocation | None) -> Network:
        before = next((each for each in recorded.networks[1:] if each.name == network.name), None) if recorded else None
        where = network.where or wanted.where
        if before is None or before.cidr != network.cidr:
            self._refuse_overlap(network.name, network.cidr, wanted, where)
        self._refuse_small(network.name, network.cidr, wanted, where, network.roles)
        vlan, bridge = None, network.bridge
        if bridge is None:
            vlan = before.vlan if before and before.vlan is not None else self._vlan(wanted, None, where)
            bridge = self._bridge(vlan)
        self._refuse_absent_bridge(bridge, before, where)
        found = Network(name=network.name, cidr=network.cidr, vlan=vlan, bridge=bridge, mtu=network.mtu)
        return connected_network(found, self._site.networking)

    def _bridge(self, vlan: int | None) -> str | None:
        pattern = getattr(self._site, "bridge", None)
        return pattern.format(vlan=vlan) if pattern and vlan is not None else None

    def _refuse_absent_bridge(self, bridge: str | None, before: Network | None, where: Where | None) -> None:
        """Raise AllocationError for a missing bridge. One that is granted already passes: a removal must not fail for it."""
        known = self._inventory.devices
        if bridge and known is not None and bridge not in known and (before is None or before.bridge != bridge):
            raise AllocationError(errors.no_bridge(bridge, known, self._site.name, where))

    def _refuse_absent_public(self, public: PublicNetwork, where: Where | None) -> None:
        known = self._inventory.networks
        if public.network and known is not None and public.network not in known:
            raise AllocationError(errors.no_network(public.network, known, self._site.name, where))
        self._refuse_absent_bridge(public.bridge, None, where)

    def _vlan(self, wanted: WantedCluster, named: int | None, where: Where | None) -> int | None:
        """Return the named or the next free VLAN; None at a site without VLAN numbers."""
        address, site = _address(self._site, wanted), self._site
        if not site.networking.vlans:
            return None
        if named is not None:
            if named not in pools.vlan_numbers(site):
                raise AllocationError(errors.outside_pool("VLAN", str(named), pools.vlan_ranges(site), site.name, where))
            self._refuse_used("VLAN", self._vlans.other_use_of(str(named), address), wanted, where)
            return named
        chosen = next((number for number in pools.vlan_numbers(site) if not self._vlans.use_of(str(number))), None)
        if chosen is None:
            uses = self._vlans.uses(map(str, pools.vlan_numbers(site)))
            what, remedy = f"VLANs ({pools.vlan_ranges(site)})", "extend the site's `vlans:`"
            raise AllocationError(errors.exhausted(what, uses, site.name, wanted, remedy))
        self._vlans.take(str(chosen), wanted.name, address)
        return chosen

    def _cidr(self, wanted: WantedCluster, vlan: int | None) -> str:
        cidr = pools.private_range(vlan, self._cidrs, pools.public_network(self._site.public, self._inventory))
        if cidr is None:
            what, remedy = "private ranges in 10.0.0.0/8", "give the cluster a `private: {range: …}`"
            raise AllocationError(errors.exhausted(what, self._cidrs.uses(), self._site.name, wanted, remedy))
        self._cidrs.take(cidr, wanted.name, _address(self._site, wanted))
        return cidr

    def _refuse_small(
        self, network: str, cidr: str, wanted: WantedCluster, where: Where | None, sets: tuple[str, ...] | None = None
    ) -> None:
        """Raise AllocationError for a network with too few addresses for the nodes of ``sets``; None: for all nodes."""
        offset, capacity = self._site.networking.frontend_offset, node_capacity(cidr)
        count = sum(nodes.count for name, nodes in wanted.sets[1:] if sets is None or name in sets)
        if count > capacity:
            raise AllocationError(errors.too_small(network, cidr, capacity, wanted, count, where))
        if not has_frontend_address(cidr, offset):
            raise AllocationError(errors.no_frontend_address(network, cidr, offset, self._site.name, where))

    def _refuse_overlap(self, network: str, cidr: str, wanted: WantedCluster, where: Where | None) -> None:
        public = pools.public_network(self._site.public, self._inventory)
        if public and wanted.public.kind != "none" and public.overlaps(IPv4Network(cidr, strict=False)):
            raise AllocationError(errors.overlapping(network, cidr, public, self._site.name, where))

    def _refuse_used(self, kind: str, use: PoolUse | None, wanted: WantedCluster, where: Where | None) -> None:
        if use is None:
            return
        user = (use.address or "").split("/")[1] if use.lineage == self._lineage else ""
        release = errors.release_advice(use.value, user, self._clusters.get(user), wanted, self._spec_file) if user else ""
        raise AllocationError(errors.in_use(kind, use, self._site.name, where, release))

    def _public_grants(self, wanted: WantedCluster, recorded: Allocation | None) -> tuple[PublicGrant, ...]:
        if wanted.public.kind == "none":
            return ()
        if recorded and _public_satisfied(recorded, wanted, self._site):
            return tuple(pools.refreshed_grant(grant, self._site) for grant in recorded.public)
        where = wanted.public.where or wanted.where
        public, reported = self._site.public or PublicNetwork(), self._inventory.public
        if self._site.public is None and reported is None:
            raise AllocationError(errors.no_public(wanted, self._site, where))
        self._refuse_absent_public(public, where)
        translated = self._site.networking.translated
        prefix = TRANSLATED_PREFIX if translated else pools.prefix_of(public, self._inventory)
        if prefix is None:
            raise AllocationError(errors.no_prefix(self._site, where))
        address = self._public_address(wanted, public, where)
        bridge = public.bridge or (reported.bridge if reported and not public.network else None)
        grant = PublicGrant(
            node=node_name(wanted.name, "frontend", 0),
            address=address,
            prefix=prefix,
            dns=pools.dns_of(public, self._inventory),
            fqdn=dict(public.names).get(address),
            network=None if bridge else public.network or (reported.network if reported else None),
            translated=translated,
        )
        if translated:
            return (grant,)
        gateway, mtu = pools.gateway_of(public, self._inventory), pools.mtu_of(public, self._inventory)
        return (replace(grant, gateway=gateway, bridge=bridge, mtu=mtu),)

    def _public_address(self, wanted: WantedCluster, public: PublicNetwork, where: Where | None) -> str:
        named, allocation = wanted.public.address, _address(self._site, wanted)
        if named is not None:
            if named not in pools.public_addresses(public, self._inventory) and not self._holds(named, allocation):
                pool = ", ".join(public.addresses) or str(pools.public_network(public, self._inventory) or "which is empty")
                raise AllocationError(errors.outside_pool("address", named, pool, self._site.name, where))
            self._refuse_used("address", self._public.other_use_of(named, allocation), wanted, where)
            return named
        if "public" in self._site.late_values:
            return UNKNOWN
        chosen = next((each for each in pools.public_addresses(public, self._inventory) if not self._public.use_of(each)), None)
        if chosen is None:
            uses = self._public.uses(pools.public_addresses(public, self._inventory))
            remedy = "extend the site's `public: {addresses: …}`"
            raise AllocationError(errors.exhausted("public addresses", uses, self._site.name, wanted, remedy))
        self._public.take(chosen, wanted.name, allocation)
        return chosen

    def _holds(self, public_address: str, allocation: str) -> bool:
        """True if the site reports the address as one that the allocation at this address has."""
        held = (public_address, self._lineage, allocation)
        return any((use.value, use.lineage, use.address) == held for use in self._inventory.addresses)


_NO_INVENTORY = Inventory(
    identity=SiteIdentity(id="", title=""), cpus=0, memory_mib=0, disk_bytes=0, disk_free_bytes=0, cpus_per_node=0
)
"""Inventory of a site that was not asked, because nothing new is wanted there."""


def _address(site: Site, wanted: WantedCluster) -> str:
    return f"{site.name}/{wanted.name}/allocation"


def _has_vlan(network: Network, networking: Networking) -> bool:
    """True unless ``network`` lacks the VLAN number that those of the site have."""
    return network.vlan is not None or not networking.vlans


def _extra_satisfied(recorded: Allocation, wanted: WantedNetwork, networking: Networking) -> bool:
    return any(
        network.name == wanted.name
        and network.cidr == wanted.cidr
        and network.mtu == wanted.mtu
        and network == connected_network(network, networking)
        and (network.bridge == wanted.bridge if wanted.bridge else _has_vlan(network, networking))
        for network in recorded.networks[1:]
    )


def _public_satisfied(recorded: Allocation, wanted: WantedCluster, site: Site) -> bool:
    if wanted.public.kind == "none":
        return not recorded.public
    public = site.public or PublicNetwork()
    return any(
        (wanted.public.address in (None, grant.address) and (grant.address or "public" in site.late_values))
        and (grant.bridge == public.bridge if public.bridge else public.network in (None, grant.network))
        and grant.translated == site.networking.translated
        for grant in recorded.public
    )


def _recorded_uses(recorded: Iterable[Allocation], state: State, values: Callable[[Allocation], Iterable[str]]) -> list[PoolUse]:
    return [
        PoolUse(value=value, owner=f"cluster {each.cluster} of this stack", lineage=state.lineage, address=each.address)
        for each in recorded
        for value in values(each)
    ]


def _vlans(allocation: Allocation) -> list[str]:
    return [str(network.vlan) for network in allocation.networks if network.vlan is not None]


def _cidrs(allocation: Allocation) -> list[str]:
    return [network.cidr for network in allocation.networks if network.cidr != pools.UNKNOWN_RANGE]


def _addresses(allocation: Allocation) -> list[str]:
    return [grant.address for grant in allocation.public if grant.address]
