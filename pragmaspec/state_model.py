"""The recorded state: a record with a status per resource that was created, or whose creation was started. Plain values."""

from bisect import bisect_left
from collections.abc import Iterable
from typing import Literal

from msgspec.structs import replace

from pragmaspec.frozen import Frozen
from pragmaspec.resources import Mark, Node, Outputs, Resource
from pragmaspec.site import Site

STATE_FORMAT = 2

Status = Literal["pending", "ready", "degraded"]

SITE_OUTPUT = "site"
"""The output of an allocation that holds the identity of the granting site, which is independent of the site's name in the
spec."""


class Record(Frozen, frozen=True):
    """A resource that was created, or whose creation was started.

    ``status``: *pending* if the outcome is not recorded (a crash or failure during the operation), *degraded* if the resource
    exists but did not become ready. ``generation`` counts rebuilds and is part of the object's UUID. ``problem`` is the last
    error message. ``op`` (32 hexadecimal digits) identifies the creation of the object; every retry carries the same one.
    ``origin`` is the address at creation if the object was moved since, because its identity at the site does not change.
    """

    resource: Resource
    status: Status = "ready"
    generation: int = 0
    outputs: Outputs = ()
    problem: str = ""
    op: str = ""
    origin: str = ""

    @property
    def address(self) -> str:
        """The resource's address."""
        return self.resource.address

    @property
    def original_address(self) -> str:
        """The address at creation, before any move: the one the object's marks at the site carry."""
        return self.origin or self.resource.address

    @property
    def site_id(self) -> str:
        """The site's own identifier of the object (the output ``id``); empty if there is none."""
        return next((value for name, value in self.outputs if name == "id"), "")

    def mark(self, lineage: str) -> Mark:
        """Return the mark that identifies the object at its site."""
        return Mark(lineage=lineage, address=self.original_address, generation=self.generation, op=self.op)


class ClosedOp(Frozen, frozen=True):
    """A finished creation: an object that later appears at the site with its ``op`` is a leftover and may be removed.

    ``address`` is the address at creation; ``closed_at`` is in seconds since 1970.
    """

    op: str
    address: str
    closed_at: float


def node_order(node: Node) -> tuple[object, ...]:
    """Return the sort key of nodes: site, cluster, the frontend, the computes, and the groups by name; each by index."""
    return (node.site, node.cluster, node.role != "frontend", node.group, node.index)


class State(Frozen, frozen=True):
    """All records of one stack. ``serial`` increases with every snapshot; ``lineage`` identifies the stack permanently.

    ``records`` are sorted by address. ``sites`` are the options each site was last used with, so that its resources can be
    cleaned after the site was removed from the spec. ``closed_ops``, sorted by op, are kept for sites where a call may take
    effect long after it was sent.
    """

    lineage: str
    format: int = STATE_FORMAT
    serial: int = 0
    sites: tuple[Site, ...] = ()
    records: tuple[Record, ...] = ()
    closed_ops: tuple[ClosedOp, ...] = ()

    def record(self, address: str) -> Record | None:
        """Return the record at ``address``, or None."""
        at = bisect_left(self.records, address, key=lambda record: record.address)
        if at < len(self.records) and self.records[at].address == address:
            return self.records[at]
        return None

    def with_records(self, changed: Iterable[Record], removed: Iterable[str] = ()) -> "State":
        """Return a copy with the records ``changed`` inserted or replaced, and the addresses ``removed`` deleted."""
        by_address = {record.address: record for record in self.records}
        by_address.update((record.address, record) for record in changed)
        for address in removed:
            by_address.pop(address, None)
        return replace(self, records=tuple(by_address[address] for address in sorted(by_address)))

    def with_record(self, record: Record) -> "State":
        """Return a copy with ``record`` inserted or replaced."""
        return self.with_records((record,))

    def without(self, address: str) -> "State":
        """Return a copy without the record at ``address``, if there is one."""
        return self.with_records((), (address,))

    def nodes(self, cluster: str | None = None) -> tuple[Node, ...]:
        """Return the recorded nodes (of ``cluster``, if given): of each cluster the frontend, the computes, then the groups."""
        found = [
            record.resource
            for record in self.records
            if isinstance(record.resource, Node) and cluster in (None, record.resource.cluster)
        ]
        return tuple(sorted(found, key=node_order))

    def site(self, name: str) -> Site | None:
        """Return the options the site ``name`` was last used with, or None."""
        return next((site for site in self.sites if site.name == name), None)
