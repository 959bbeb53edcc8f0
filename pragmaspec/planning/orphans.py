"""Objects at the sites that no record is about: those with this stack's marks, and the totals of other stacks. Pure."""

from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from typing import Literal

from pragmaspec.frozen import Frozen
from pragmaspec.planning.drift.ownership import match_node
from pragmaspec.planning.observed import Inventory, Observations, Observed, ObservedNode, ObservedVolume
from pragmaspec.resources import Node, StagedImage
from pragmaspec.state_model import Record, State

OrphanKind = Literal["node", "allocation", "image", "volume"]


class Orphan(Frozen, frozen=True):
    """An object with this stack's marks and without a record."""

    site: str
    address: str
    kind: OrphanKind
    seen: Observed | None = None
    """The observed object; None for an image."""
    digest: str = ""
    recorded_beside: bool = False
    """True if a different object is recorded at its address."""
    left_over: bool = False
    """True if its creation has ended, so that the next apply removes it."""

    @property
    def generation(self) -> int:
        """Generation of a node; 0 for other objects."""
        return self.seen.generation if isinstance(self.seen, ObservedNode) else 0


class OtherStack(Frozen, frozen=True):
    """The objects of another stack at one site: numbers of machines, VLANs and public addresses, and their clusters."""

    site: str
    lineage: str
    known: bool
    """True if this machine has the stack's key, or has seen its state."""
    machines: int = 0
    vlans: int = 0
    addresses: int = 0
    clusters: tuple[str, ...] = ()
    volumes: int = 0


def orphans(state: State, observations: Mapping[str, Observations]) -> tuple[Orphan, ...]:
    """Return all objects with the marks of ``state``'s lineage and without a record, by address."""
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
                kind=_kind(each),
                seen=each,
                recorded_beside=each.address in addresses,
                left_over=each.op in closed,
            )
            for each in seen.marked
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
    """Return the other stacks with objects at the sites, by site and lineage."""
    found = []
    for site, inventory in sorted(inventories.items()):
        for other in sorted(_lineages(inventory) - {lineage}):
            machines = [
                use.address for use in inventory.holdings if use.lineage == other and "/volume/" not in (use.address or "")
            ]
            vlans = [use.address for use in inventory.vlans if use.lineage == other]
            volumes = [use.address for use in inventory.volumes if use.lineage == other]
            addresses = [use.address for use in inventory.addresses if use.lineage == other]
            found.append(
                OtherStack(
                    site=site,
                    lineage=other,
                    known=known(other),
                    machines=len(machines),
                    vlans=len(vlans),
                    addresses=len(addresses),
                    clusters=_clusters((*machines, *vlans, *addresses)),
                    volumes=len(volumes),
                )
            )
    return tuple(found)


def _kind(seen: Observed) -> OrphanKind:
    if isinstance(seen, ObservedVolume):
        return "volume"
    return "node" if isinstance(seen, ObservedNode) else "allocation"


def _known(recorded: Iterable[Record], seen: Observations, closed: AbstractSet[str]) -> frozenset[int]:
    """Return the ``id()`` of the observed values that belong to records: at most one per address."""
    nodes: dict[str, list[ObservedNode]] = {}
    for node in seen.nodes:
        nodes.setdefault(node.address, []).append(node)
    others: dict[str, Observed] = {allocation.address: allocation for allocation in seen.allocations}
    others |= {volume.address: volume for volume in seen.volumes}
    matched: list[Observed | None] = []
    for record in recorded:
        if isinstance(record.resource, Node):
            matched.append(match_node(record, nodes.get(record.original_address, ()), closed))
        else:
            matched.append(others.get(record.original_address))
    return frozenset(id(each) for each in matched if each is not None)


def _lineages(inventory: Inventory) -> set[str]:
    users = {use.lineage for use in inventory.holdings}
    uses = (*inventory.vlans, *inventory.addresses, *inventory.volumes)
    return {lineage for lineage in users.union(use.lineage for use in uses) if lineage}


def _clusters(addresses: Iterable[str | None]) -> tuple[str, ...]:
    """Return the clusters of addresses like ``lab/hello/node/hello-frontend``."""
    parts = [address.split("/") for address in addresses if address]
    return tuple(sorted({part[1] for part in parts if len(part) > 2}))  # noqa: PLR2004 - site, cluster and more
