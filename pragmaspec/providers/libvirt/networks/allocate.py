"""Claims of a cluster at the site: its networks and public addresses. The site decides who was first; we undo what we began."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from pragmaspec.errors import SiteInUseError
from pragmaspec.planning.drift.attached_machines import AttachedMachine, network_in_use
from pragmaspec.providers.libvirt import names
from pragmaspec.providers.libvirt.host import Host
from pragmaspec.providers.libvirt.networks import networks
from pragmaspec.providers.libvirt.networks import public_addresses as addresses
from pragmaspec.providers.libvirt.networks.networks import ObservedNetwork
from pragmaspec.providers.libvirt.networks.occupants import occupants
from pragmaspec.providers.libvirt.networks.xml import NetworkConfig, address_parts, attachment, bridge_name, network_parts
from pragmaspec.resources import Allocation, Mark, Outputs, PublicGrant

Undo = Callable[[], None]


class _Claim(NamedTuple):
    """One network to be there, and what it stands for in words."""

    parts: NetworkConfig
    words: str


def allocate(host: Host, wanted: Allocation, mark: Mark) -> Outputs:
    """Make the claims of ``wanted``, then drop those of the same allocation that it no longer names."""
    _refuse_occupied(host, wanted, mark, keep=wanted)
    undo: list[Undo] = []
    try:
        for claim in _network_claims(wanted, mark):
            _ensure(host, claim, undo)
        for grant in wanted.public:
            _bring_up(host, grant)
            served = addresses.serving(host, grant)
            if served is None:
                _ensure(host, _Claim(address_parts(grant.address, mark), f"Public address {grant.address}"), undo)
            else:
                undo += addresses.claim(host, served, grant, mark)
    except BaseException:
        for step in reversed(undo):
            step()
        raise
    _drop(host, names.made_cluster(wanted.cluster, mark), mark, keep=wanted)
    return _outputs(wanted, mark)


def _bring_up(host: Host, grant: PublicGrant) -> None:
    """See that what the grant is on runs, as after a reboot of the host it may not."""
    public = addresses.public_network(host, grant)
    if public is not None:
        networks.start_public(host, public)
    elif grant.bridge is not None and not host.connection.is_pretended:
        networks.require_bridge(host, "public", grant.bridge)


def release(host: Host, allocation: Allocation, mark: Mark) -> None:
    """Drop every claim of the allocation."""
    _refuse_occupied(host, allocation, mark, keep=None)
    _drop(host, names.made_cluster(allocation.cluster, mark), mark, keep=None)


def _network_claims(wanted: Allocation, mark: Mark) -> list[_Claim]:
    claims = []
    for network in wanted.networks:
        parts = network_parts(wanted, network, mark)
        if parts is not None:
            words = f"VLAN {network.vlan}" if network.vlan is not None else f"The network name {parts.name}"
            claims.append(_Claim(parts, words))
    return claims


def _ensure(host: Host, claim: _Claim, undo: list[Undo]) -> None:
    if networks.ensure(host, claim.parts, claim.words):
        undo.append(lambda: _remove_named(host, claim.parts.name, claim.parts.mark))


def _remove_named(host: Host, name: str, mark: Mark) -> None:
    seen = networks.find(host, name)
    if seen is not None and seen.owner is not None and seen.owner.is_for(mark):
        networks.remove(seen.handle)


def occupied(host: Host, mark: Mark, keep: Allocation | None) -> tuple[AttachedMachine, ...]:
    """The machines on networks of the allocation that ``keep`` does not name."""
    return occupants(host, _going(networks.listed(host), mark, keep))


def _refuse_occupied(host: Host, held: Allocation, mark: Mark, keep: Allocation | None) -> None:
    """Raise SiteInUseError when machines would be cut off that are not the cluster's own.

    When the whole allocation is released, its own nodes are gone: a machine that is still attached is not part of it.
    """
    clusters = {held.cluster, names.made_cluster(held.cluster, mark)} if keep else set()
    others = [
        each
        for each in occupied(host, mark, keep)
        if each.lineage != mark.lineage or names.cluster_of(each.address.rpartition("/")[2]) not in clusters
    ]
    if others:
        raise SiteInUseError.of([network_in_use(others, held)])


def _going(seen: Iterable[ObservedNetwork], mark: Mark, keep: Allocation | None) -> list[ObservedNetwork]:
    """The networks of the allocation, and its claims of addresses, that ``keep`` does not name."""
    kept = {claim.parts.name for claim in _network_claims(keep, mark)} if keep else set()
    kept |= {names.address_network(grant.address) for grant in keep.public} if keep else set()
    return [each for each in seen if each.owner is not None and each.owner.is_for(mark) and each.name not in kept]


def _drop(host: Host, cluster: str, mark: Mark, keep: Allocation | None) -> None:
    kept_addresses = {(grant.network, grant.address) for grant in keep.public} if keep else set()
    found = list(networks.listed(host))
    for seen in _going(found, mark, keep):
        networks.remove(seen.handle)
    for seen in found:
        if seen.owner is None:
            addresses.release(seen, cluster, mark, {one for network, one in kept_addresses if network == seen.name})


def _outputs(wanted: Allocation, mark: Mark) -> Outputs:
    found = []
    for network in wanted.networks:
        name, bridge = attachment(wanted, network, mark)
        parts = network_parts(wanted, network, mark)
        if parts is not None and name is not None:
            found.append((f"network:{network.name}", name))
            bridge = parts.bridge or bridge_name(parts.uuid)
        found.append((f"bridge:{network.name}", bridge or ""))
    return tuple(sorted(found))
