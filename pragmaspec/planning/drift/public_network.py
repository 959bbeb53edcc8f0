"""Drift of a site's public network from the grants of clusters. Pure."""

from collections.abc import Iterable, Iterator, Mapping

from pragmaspec.errors import PlanError, Problem
from pragmaspec.planning.observed import Observations, SiteNetwork
from pragmaspec.planning.plan import Action
from pragmaspec.planning.request import PlanRequest
from pragmaspec.planning.wanted import Wanted
from pragmaspec.resources import STANDARD_MTU, Allocation, PublicGrant
from pragmaspec.state_model import Record


def granted_network(grant: PublicGrant, seen: Observations) -> SiteNetwork | None:
    """Return the observed network or bridge of ``grant``; None: not reported."""
    if grant.network is not None:
        if seen.site_networks is None:
            return None
        found = (each for each in seen.site_networks if each.name == grant.network)
        return next(found, SiteNetwork(name=grant.network, state="absent"))
    bridge = seen.public_bridge
    return bridge if bridge is not None and bridge.name == grant.bridge else None


def public_network_faults(allocation: Allocation, seen: Observations) -> list[str]:
    """Return human-readable faults of the public networks of ``allocation``."""
    found = [(grant, granted_network(grant, seen)) for grant in allocation.public]
    return [_fault(grant, network) for grant, network in found if network is not None and network.state != "up"]


def is_public_network_stopped(allocation: Allocation, seen: Observations) -> bool:
    """True if a public network is stopped. Restarting it does not reattach running nodes."""
    networks = (granted_network(grant, seen) for grant in allocation.public)
    return any(network is not None and network.state == "stopped" for network in networks)


def require_public_networks(
    actions: Iterable[Action], observations: Mapping[str, Observations], wanted: Wanted, request: PlanRequest
) -> None:
    """Raise PlanError for each public network that ``actions`` need and that is absent or not a bridge.

    Switching clusters off needs none.
    """
    if any(not running for _, running in request.running):
        return
    problems: dict[tuple[str, str], Problem] = {}
    for action in actions:
        granted, seen = action.resource, observations.get(action.resource.site)
        if action.verb != "allocate" or not isinstance(granted, Allocation) or seen is None:
            continue
        for grant in granted.public:
            network = granted_network(grant, seen)
            if network is not None and network.state in ("absent", "other"):
                uri = getattr(wanted.site(granted.site), "uri", "")
                problems[granted.site, network.name] = _missing_network(granted, grant, network, seen, uri)
    if problems:
        raise PlanError.of(problems.values())


def mtu_warnings(records: Iterable[Record], seen: Observations) -> Iterator[Problem]:
    """Return one warning per cluster whose frontend has a larger MTU than its public network."""
    for record in records:
        granted = record.resource
        if not isinstance(granted, Allocation) or granted.site != seen.site:
            continue
        for grant in granted.public:
            network = granted_network(grant, seen)
            if network is not None and network.state == "up" and network.mtu < (grant.mtu or STANDARD_MTU):
                yield Problem(
                    summary="A public network has a smaller MTU than its frontend",
                    detail=f"{network.name} of site {seen.site} has an MTU of {network.mtu}, and {grant.node} was created with "
                    f"{grant.mtu or STANDARD_MTU}: large packets are lost. Write `mtu: {network.mtu}` under the site's "
                    "`public:`, and the next apply rebuilds the frontend with it.",
                    severity="warning",
                )


def _fault(grant: PublicGrant, network: SiteNetwork) -> str:
    if network.state == "stopped":
        return f"public network {network.name} is stopped"
    kind = "public network" if grant.network else "bridge"
    return f"{kind} {network.name} does not exist" if network.state == "absent" else f"{network.name} is not a bridge"


def _missing_network(granted: Allocation, grant: PublicGrant, network: SiteNetwork, seen: Observations, uri: str) -> Problem:
    virsh = f"virsh -c {uri}" if uri else "virsh"
    if grant.network:
        known = ", ".join(each.name for each in seen.site_networks or ()) or "none"
        remedy = f"It has: {known}. Define it there again ({virsh} net-define FILE && {virsh} net-start {network.name})"
    elif network.state == "other":
        remedy = f"{network.name} is a device of the host, but not a bridge. Create the bridge"
    else:
        remedy = f"Create it on the host (ip link add {network.name} type bridge && ip link set {network.name} up)"
    return Problem(
        summary="The public network does not exist" if grant.network else "The bridge does not exist",
        detail=f"Cluster {granted.cluster} holds {grant.address} on {network.name} at site {granted.site}, which is missing. "
        f"{remedy}, correct the site's `public:`, or exclude the cluster with --exclude.",
    )
