"""What carries our marks at a site and is in no state: of this stack, and, as far as a site tells, of any other. Pure."""

from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from typing import Literal

from pragmaspec.frozen import Frozen
from pragmaspec.planning.drift.ownership import match_node
from pragmaspec.planning.observed import Inventory, Observations, Observed, ObservedNode
from pragmaspec.resources import Node, StagedImage
from pragmaspec.state_model import Record, State

OrphanKind = Literal["node", "allocation", "image"]


class Orphan(Frozen, frozen=True):
    """Something of this stack that is not recorded. ``seen`` is what the site told of it; None of an image.

    ``beside``: what is recorded at its address is another object. ``left_over``: its creation is over, so the next apply removes
    it.
    """

    site: str
    address: str
    kind: OrphanKind
    seen: Observed | None = None
    digest: str = ""
    recorded_beside: bool = False
    left_over: bool = False

    @property
    def generation(self) -> int:
        """Which build of a node it is."""
        return self.seen.generation if isinstance(self.seen, ObservedNode) else 0


class OtherStack(Frozen, frozen=True):
    """What one site holds of another stack: numbers of machines, VLANs and public addresses, and the clusters they are of.

    ``known``: whether this machine has that stack's key, or has seen its state.
    """

    site: str
    lineage: str
    known: bool
    machines: int = 0
    vlans: int = 0
    addresses: int = 0
    clusters: tuple[str, ...] = ()


def orphans(state: State, observations: Mapping[str, Observations]) -> tuple[Orphan, ...]:
    """Everything at the sites with the marks of ``state``'s lineage that ``state`` does not know, by address."""
    found: list[Orphan] = []
    closed = frozenset(each.op for each in state.closed_ops)
    for site, seen in observations.items():
        recorded = [record for record in state.records if record.resource.site == site]
        known = _known(recorded, seen, closed)
        addresses = {record.original_address for record in recorded}
        found += [
            Orphan(
                site=site,
                address=each.address,
                kind="node" if isinstance(each, ObservedNode) else "allocation",
                seen=each,
                recorded_beside=each.address in addresses,
                left_over=each.op in closed,
            )
            for each in _seen(seen)
            if id(each) not in known
        ]
        digests = {record.resource.digest for record in recorded if isinstance(record.resource, StagedImage)}
        found += [
            Orphan(site=site, address=f"{site}/image/{digest[:16]}", kind="image", digest=digest)
            for digest in seen.images
            if digest not in digests
        ]
    return tuple(sorted(found, key=lambda orphan: (orphan.address, orphan.generation)))


def other_stacks(inventories: Mapping[str, Inventory], lineage: str, known: Callable[[str], bool]) -> tuple[OtherStack, ...]:
    """What the sites hold of stacks other than ``lineage``, by site and lineage."""
    found = []
    for site, inventory in sorted(inventories.items()):
        for other in sorted(_lineages(inventory) - {lineage}):
            machines = [holding.address for holding in inventory.holdings if holding.lineage == other]
            vlans = [taken.address for taken in inventory.vlans if taken.lineage == other]
            addresses = [taken.address for taken in inventory.addresses if taken.lineage == other]
            found.append(
                OtherStack(
                    site=site,
                    lineage=other,
                    known=known(other),
                    machines=len(machines),
                    vlans=len(vlans),
                    addresses=len(addresses),
                    clusters=_clusters((*machines, *vlans, *addresses)),
                )
            )
    return tuple(found)


def _seen(observations: Observations) -> tuple[Observed, ...]:
    return (*observations.nodes, *observations.allocations)


def _known(recorded: Iterable[Record], seen: Observations, closed: AbstractSet[str]) -> frozenset[int]:
    """Identities of the observed values that records are about: of several with one address, one at most."""
    nodes: dict[str, list[ObservedNode]] = {}
    for node in seen.nodes:
        nodes.setdefault(node.address, []).append(node)
    allocations = {allocation.address: allocation for allocation in seen.allocations}
    about: list[Observed | None] = []
    for record in recorded:
        if isinstance(record.resource, Node):
            about.append(match_node(record, nodes.get(record.original_address, ()), closed))
        else:
            about.append(allocations.get(record.original_address))
    return frozenset(id(each) for each in about if each is not None)


def _lineages(inventory: Inventory) -> set[str]:
    held = {holding.lineage for holding in inventory.holdings}
    return {lineage for lineage in held.union(taken.lineage for taken in (*inventory.vlans, *inventory.addresses)) if lineage}


def _clusters(addresses: Iterable[str | None]) -> tuple[str, ...]:
    """The clusters of addresses like ``lab/hello/node/hello-frontend``."""
    parts = [address.split("/") for address in addresses if address]
    return tuple(sorted({part[1] for part in parts if len(part) > 2}))  # noqa: PLR2004 - site, cluster and more
