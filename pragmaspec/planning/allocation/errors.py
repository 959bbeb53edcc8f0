"""What a person reads when a pool cannot give what a cluster wants: which value or pool, who holds it, what to do."""

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Network

from pragmaspec.errors import Problem, Where
from pragmaspec.planning.observed import PoolUse
from pragmaspec.planning.wanted import WantedCluster
from pragmaspec.site import Site

SHOWN_HOLDERS = 5
"""How many holders of a pool an error names before it counts the rest."""
SHOWN_NAMES = 12
"""How many networks or devices an error names before it counts the rest."""


def outside(kind: str, value: str, pool: str, site: str, where: Where | None) -> Problem:
    """A named ``value`` that the site's pool does not hold."""
    return Problem(
        summary=f"The {kind} is not the site's to give",
        detail=f"{_capital(kind)} {value} is not in the pool of site {site} ({pool}). Name one that is, or leave it out to get "
        "the first free one.",
        where=where,
    )


def held(kind: str, holder: PoolUse, site: str, where: Where | None, release: str = "") -> Problem:
    """A named value that is taken. ``release``: how to have it released; empty: not possible from here."""
    return Problem(
        summary=f"The {kind} is taken",
        detail=f"{_capital(kind)} {holder.value} at site {site} is held by {holder.owner}. "
        + (release or "Name another, or leave it out to get the first free one."),
        where=where,
    )


def release(value: str, holder: str, staying: WantedCluster | None, after: str, spec_file: str) -> str:
    """How the cluster ``after`` can have the VLAN or address ``value``, which the cluster ``holder`` of the same stack has.

    ``staying``: that one, when the spec has it; empty: it keeps what it has.
    """
    if staying is None:
        return (
            f"{holder} is no longer in the spec. If it is called {after} now, nothing need be lost: write in {spec_file} "
            f"`moved: [{{from: {holder}, to: {after}}}]`. Otherwise remove it first: `pragmaspec clean {holder} --shutdown`."
        )
    if value.isdecimal():
        keeps = staying.vlan in (None, int(value))
    else:
        keeps = staying.public.kind == "pool" or staying.public.address == value
    if keeps:
        return ""
    return (
        f"By {spec_file} {holder} gives it back, but a plan takes before it gives. Apply that first: `pragmaspec apply --target "
        f"{holder}`."
    )


def exhausted(what: str, holders: Iterable[PoolUse], site: str, wanted: WantedCluster, cure: str) -> Problem:
    """A pool without a free value; ``holders`` are those of the values that it has."""
    entries = tuple(holders)
    named = ", ".join(f"{entry.value} by {entry.owner}" for entry in entries[:SHOWN_HOLDERS]) or "nothing, the pool is empty"
    more = len(entries) - SHOWN_HOLDERS
    return Problem(
        summary=f"No free {what.partition(' (')[0]}",
        detail=f"Cluster {wanted.name} needs one more than site {site} has of its {what}. Taken: {named}"
        + (f" and {more} more" if more > 0 else "")
        + f". Clean a cluster that is no longer needed, or {cure}.",
        where=wanted.where,
    )


def too_small(network: str, cidr: str, room: int, wanted: WantedCluster, where: Where | None) -> Problem:
    """A network with fewer addresses than the cluster has nodes."""
    return Problem(
        summary=f"The {network} network is too small",
        detail=f"{cidr} has room for {room} computes of cluster {wanted.name}, and the spec wants {wanted.computes.count}. "
        "Give it a wider range.",
        where=where,
    )


def overlapping(network: str, cidr: str, public: IPv4Network, site: str, where: Where | None) -> Problem:
    """A range of the cluster's own that hides the public network from its frontend."""
    return Problem(
        summary=f"The {network} network overlaps the public one",
        detail=f"{cidr} overlaps {public}, the public network of site {site}: the frontend could not tell one from the other. "
        "Name another range, or leave it out to get a free one.",
        where=where,
    )


def no_public(wanted: WantedCluster, site: Site, where: Where | None) -> Problem:
    """A public address is wanted where there is no public network."""
    return Problem(
        summary="The site has no public network",
        detail=f"Cluster {wanted.name} wants a public address at site {site.name}, which names no `public:` network and reports "
        "none. Give the site a `public:` network, or the cluster `public: none`.",
        where=where,
    )


def no_network(name: str, known: Sequence[str], site: str, where: Where | None) -> Problem:
    """A public network that the site does not have."""
    return Problem(
        summary="The public network does not exist",
        detail=f"Site {site} has no network called {name}; it has: {_some(known)}. Correct the site's `public: network:`, "
        "or make the network there.",
        where=where,
    )


def no_bridge(name: str, known: Sequence[str], site: str, where: Where | None) -> Problem:
    """A bridge that the site's host does not have."""
    return Problem(
        summary="The bridge does not exist",
        detail=f"The host of site {site} has no bridge {name}; its network devices are: {_some(known)}. Correct the `bridge:`, "
        f"or make it there: ip link add {name} type bridge",
        where=where,
    )


def no_prefix(site: Site, where: Where | None) -> Problem:
    """Nobody says how large the public network is."""
    return Problem(
        summary="The public network has no prefix",
        detail=f"Site {site.name} does not report the size of its public network. Write `prefix:` under the site's `public:`.",
        where=where,
    )


def _some(names: Sequence[str]) -> str:
    more = len(names) - SHOWN_NAMES
    return (", ".join(names[:SHOWN_NAMES]) or "none") + (f" and {more} more" if more > 0 else "")


def _capital(kind: str) -> str:
    return kind[0].upper() + kind[1:]
