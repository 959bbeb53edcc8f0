"""Problems of pools that cannot grant a cluster's wishes: the value or pool, its users, and the remedy."""

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Network

from pragmaspec.errors import Problem, Where
from pragmaspec.planning.observed import PoolUse
from pragmaspec.planning.wanted import WantedCluster
from pragmaspec.site import Site
from pragmaspec.text import capitalized, few

MAX_USERS = 5
"""Number of users of a pool that an error names."""
MAX_NAMES = 12
"""Number of networks or devices that an error names."""


def outside_pool(kind: str, value: str, pool: str, site: str, where: Where | None) -> Problem:
    """Return the problem of a named ``value`` that the site's pool does not contain."""
    return Problem(
        summary=f"{capitalized(kind)} outside the pool",
        detail=f"{capitalized(kind)} {value} is not in the pool of site {site} ({pool}). Name one that is, or omit it to get "
        "the first free one.",
        where=where,
    )


def in_use(kind: str, use: PoolUse, site: str, where: Where | None, release: str = "") -> Problem:
    """Return the problem of a named value in use. ``release``: how to release it; empty: impossible from here."""
    return Problem(
        summary=f"{capitalized(kind)} in use",
        detail=f"{capitalized(kind)} {use.value} at site {site} is used by {use.owner}. "
        + (release or "Name another one, or omit it to get the first free one."),
        where=where,
    )


def release_advice(value: str, user: str, remaining: WantedCluster | None, wanted: WantedCluster, spec_file: str) -> str:
    """Return how cluster ``wanted`` can get the VLAN or address ``value`` of cluster ``user`` of the same stack.

    ``remaining``: ``user`` in the spec, None if it was removed. Empty if that cluster keeps the value.
    """
    if remaining is None:
        return (
            f"{user} is no longer in the spec. If it is now called {wanted.name}, declare the rename in {spec_file} and nothing "
            f"is lost: `moved: [{{from: {user}, to: {wanted.name}}}]`. Otherwise remove it first: "
            f"`pragmaspec clean {user} --shutdown`."
        )
    if value.isdecimal():
        keeps = remaining.vlan in (None, int(value))
    else:
        keeps = remaining.public.kind == "pool" or remaining.public.address == value
    if keeps:
        return ""
    return (
        f"{spec_file} releases it from {user}, but a plan allocates before it releases. Apply the release first: "
        f"`pragmaspec apply --target {user}`."
    )


def exhausted(what: str, uses: Iterable[PoolUse], site: str, wanted: WantedCluster, remedy: str) -> Problem:
    """Return the problem of a pool without a free value. ``what``: ``VLANs (20-26)``."""
    names = [f"{use.value} by {use.owner}" for use in uses]
    used = few(names, MAX_USERS) if names else "none, the pool is empty"
    return Problem(
        summary=f"No free {what.partition(' (')[0]}",
        detail=f"Cluster {wanted.name} needs one of the {what} of site {site}, and none is free. In use: {used}. Clean a cluster "
        f"that is no longer needed, or {remedy}.",
        where=wanted.where,
    )


def too_small(network: str, cidr: str, capacity: int, wanted: WantedCluster, count: int, where: Where | None) -> Problem:
    """Return the problem of a network with too few addresses for ``count`` nodes of the cluster besides its frontend."""
    nodes = "nodes (besides the frontend)" if wanted.groups else "computes"
    return Problem(
        summary=f"The {network} network is too small",
        detail=f"{cidr} has addresses for {capacity} {nodes} of cluster {wanted.name}, and the spec wants {count}. "
        "Use a larger range.",
        where=where,
    )


def no_frontend_address(network: str, cidr: str, offset: int, site: str, where: Where | None) -> Problem:
    """Return the problem of a network in which all addresses are the site's."""
    return Problem(
        summary=f"The {network} network is too small",
        detail=f"{cidr} has no address for the frontend: the first {offset} of a network at site {site} are the site's. "
        "Use a larger range.",
        where=where,
    )


def overlapping(network: str, cidr: str, public: IPv4Network, site: str, where: Where | None) -> Problem:
    """Return the problem of a private range that hides the public network from the frontend."""
    return Problem(
        summary=f"The {network} network overlaps the public one",
        detail=f"{cidr} overlaps {public}, the public network of site {site}, so the frontend could not route to both. "
        "Name another range, or omit it to get a free one.",
        where=where,
    )


def no_public(wanted: WantedCluster, site: Site, where: Where | None) -> Problem:
    """Return the problem of a public address at a site without a public network."""
    return Problem(
        summary="The site has no public network",
        detail=f"Cluster {wanted.name} wants a public address at site {site.name}, which neither has a `public:` network nor "
        "reports one. Give the site a `public:` network, or the cluster `public: none`.",
        where=where,
    )


def no_network(name: str, known: Sequence[str], site: str, where: Where | None) -> Problem:
    """Return the problem of a missing public network."""
    return Problem(
        summary="The public network does not exist",
        detail=f"Site {site} has no network called {name}; it has: {few(known, MAX_NAMES)}. Correct the site's "
        "`public: network:`, or create the network there.",
        where=where,
    )


def no_bridge(name: str, known: Sequence[str], site: str, where: Where | None) -> Problem:
    """Return the problem of a missing host bridge."""
    return Problem(
        summary="The bridge does not exist",
        detail=f"The host of site {site} has no bridge {name}; its network devices are: {few(known, MAX_NAMES)}. Correct the "
        f"`bridge:`, or create it there: ip link add {name} type bridge",
        where=where,
    )


def no_prefix(site: Site, where: Where | None) -> Problem:
    """Return the problem of a public network of unknown size."""
    return Problem(
        summary="The public network has no prefix",
        detail=f"Site {site.name} does not report the size of its public network. Write `prefix:` under the site's `public:`.",
        where=where,
    )
