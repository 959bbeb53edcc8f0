"""Claims of a cluster at the site: its networks and public addresses. The site decides who was first; we undo what we began."""

from collections.abc import Callable
from typing import NamedTuple

from pragmaspec.providers.libvirt import addresses, names, networks
from pragmaspec.providers.libvirt.host import Host
from pragmaspec.providers.libvirt.network_xml import NetworkParts, address_parts, attachment, bridge_name, network_parts
from pragmaspec.recorded import Allocation, Mark, Outputs

Undo = Callable[[], None]


class _Claim(NamedTuple):
    """One network to be there, and what it stands for in words."""

    parts: NetworkParts
    words: str


def allocate(host: Host, wanted: Allocation, mark: Mark) -> Outputs:
    """Make the claims of ``wanted``, then drop those of the same allocation that it no longer names."""
    undo: list[Undo] = []
    try:
        for claim in _network_claims(wanted, mark):
            _ensure(host, claim, undo)
        for grant in wanted.public:
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


def release(host: Host, allocation: Allocation, mark: Mark) -> None:
    """Drop every claim of the allocation."""
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


def _drop(host: Host, cluster: str, mark: Mark, keep: Allocation | None) -> None:
    kept_networks = {claim.parts.name for claim in _network_claims(keep, mark)} if keep else set()
    kept_addresses = {(grant.network, grant.address) for grant in keep.public} if keep else set()
    for seen in list(networks.listed(host)):
        if seen.owner is not None and seen.owner.is_for(mark):
            address = names.parsed_address(seen.name)
            if seen.name not in kept_networks and (address is None or address not in {one for _, one in kept_addresses}):
                networks.remove(seen.handle)
        elif seen.owner is None:
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
