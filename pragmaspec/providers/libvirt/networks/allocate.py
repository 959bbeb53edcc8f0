"""The claims of an allocation at the site: networks and public addresses. A claim is atomic; a failed call undoes its claims."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from pragmaspec.errors import SiteInUseError
from pragmaspec.planning.drift.attached_machines import AttachedMachine, network_in_use
from pragmaspec.providers.libvirt import names
from pragmaspec.providers.libvirt.host import Host
from pragmaspec.providers.libvirt.networks.attached_machines import attached_machines
from pragmaspec.providers.libvirt.networks.networks import (
    ObservedNetwork,
    ensure_network,
    find_network,
    list_networks,
    remove_network,
    require_bridge,
    start_public_network,
)
from pragmaspec.providers.libvirt.networks.public_addresses import claim_address, dhcp_network, public_network, release_addresses
from pragmaspec.providers.libvirt.networks.xml import NetworkConfig, address_claim_config, attachment, bridge_name, network_config
from pragmaspec.resources import Allocation, Mark, Outputs, PublicGrant

Undo = Callable[[], None]


class _Claim(NamedTuple):
    """A network that makes a claim, and the human-readable claim."""

    config: NetworkConfig
    title: str


def allocate(host: Host, wanted: Allocation, mark: Mark) -> Outputs:
    """Make the claims of ``wanted``, then drop other claims of the same allocation."""
    _refuse_occupied(host, wanted, mark, keep=wanted)
    undo: list[Undo] = []
    try:
        for claim in _network_claims(wanted, mark):
            _ensure(host, claim, undo)
        for grant in wanted.public:
            _start_public_network(host, grant)
            served = dhcp_network(host, grant)
            if served is None:
                _ensure(host, _Claim(address_claim_config(grant.address, mark), f"Public address {grant.address}"), undo)
            else:
                undo += claim_address(host, served, grant, mark)
    except BaseException:
        for step in reversed(undo):
            step()
        raise
    _drop(host, names.original_cluster_name(wanted.cluster, mark), mark, keep=wanted)
    return _outputs(wanted, mark)


def _start_public_network(host: Host, grant: PublicGrant) -> None:
    """Start the network of the grant, which may be inactive after a reboot of the host."""
    public = public_network(host, grant)
    if public is not None:
        start_public_network(host, public)
    elif grant.bridge is not None and not host.connection.is_test_driver:
        require_bridge(host, "public", grant.bridge)


def release_allocation(host: Host, allocation: Allocation, mark: Mark) -> None:
    """Drop all claims of the allocation."""
    _refuse_occupied(host, allocation, mark, keep=None)
    _drop(host, names.original_cluster_name(allocation.cluster, mark), mark, keep=None)


def _network_claims(wanted: Allocation, mark: Mark) -> list[_Claim]:
    claims = []
    for network in wanted.networks:
        config = network_config(wanted, network, mark)
        if config is not None:
            title = f"VLAN {network.vlan}" if network.vlan is not None else f"The network name {config.name}"
            claims.append(_Claim(config, title))
    return claims


def _ensure(host: Host, claim: _Claim, undo: list[Undo]) -> None:
    if ensure_network(host, claim.config, claim.title):
        undo.append(lambda: _remove_named(host, claim.config.name, claim.config.mark))


def _remove_named(host: Host, name: str, mark: Mark) -> None:
    network = find_network(host, name)
    if network is not None and network.owner is not None and network.owner.is_for(mark):
        remove_network(network.handle)


def find_attached(host: Host, mark: Mark, keep: Allocation | None) -> tuple[AttachedMachine, ...]:
    """The machines on networks of the allocation that are not in ``keep``."""
    return attached_machines(host, _dropped_networks(list_networks(host), mark, keep))


def _refuse_occupied(host: Host, held: Allocation, mark: Mark, keep: Allocation | None) -> None:
    """Raise SiteInUseError when machines outside the cluster would be disconnected.

    When the whole allocation is released, its own nodes are gone: a machine that is still attached is not part of it.
    """
    clusters = {held.cluster, names.original_cluster_name(held.cluster, mark)} if keep else set()
    others = [
        each for each in find_attached(host, mark, keep) if each.lineage != mark.lineage or _cluster_of(each) not in clusters
    ]
    if others:
        raise SiteInUseError.of([network_in_use(others, held)])


def _cluster_of(machine: AttachedMachine) -> str:
    """The cluster of a machine with our mark; empty for other machines."""
    return machine.address.split("/")[1] if machine.address else ""


def _dropped_networks(networks: Iterable[ObservedNetwork], mark: Mark, keep: Allocation | None) -> list[ObservedNetwork]:
    """The networks and address claims of the allocation that are not in ``keep``."""
    kept = {claim.config.name for claim in _network_claims(keep, mark)} if keep else set()
    kept |= {names.address_network(grant.address) for grant in keep.public} if keep else set()
    return [each for each in networks if each.owner is not None and each.owner.is_for(mark) and each.name not in kept]


def _drop(host: Host, cluster: str, mark: Mark, keep: Allocation | None) -> None:
    kept = {(grant.network, grant.address) for grant in keep.public} if keep else set()
    networks = list(list_networks(host))
    for dropped in _dropped_networks(networks, mark, keep):
        remove_network(dropped.handle)
    for network in networks:
        if network.owner is None:
            release_addresses(network, cluster, mark, {address for name, address in kept if name == network.name})


def _outputs(wanted: Allocation, mark: Mark) -> Outputs:
    outputs = []
    for network in wanted.networks:
        name, bridge = attachment(wanted, network, mark)
        config = network_config(wanted, network, mark)
        if config is not None and name is not None:
            outputs.append((f"network:{network.name}", name))
            bridge = config.bridge or bridge_name(config.uuid)
        outputs.append((f"bridge:{network.name}", bridge or ""))
    return tuple(sorted(outputs))
