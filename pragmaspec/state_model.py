"""The recorded state: a record for each resource that was made or begun, with its status. Values only."""

from bisect import bisect_left
from collections.abc import Iterable
from typing import Literal

from msgspec.structs import replace

from pragmaspec.frozen import Frozen
from pragmaspec.resources import Mark, Node, Outputs, Resource
from pragmaspec.site import Site

STATE_FORMAT = 1

Status = Literal["pending", "ready", "degraded"]

SITE_OUTPUT = "site"
"""The output of an allocation that says which site granted it: the site's identity, whatever it is called in a spec."""


class Record(Frozen, frozen=True):
    """A resource we made or began to make.

    pending: begun, outcome not recorded (a crash or failure in the middle). degraded: it exists, but did not become ready.
    ``generation`` counts rebuilds and is part of the object's UUID. ``problem`` says what went wrong last, for people. ``op`` (32
    hexadecimal digits) names the creation of the object; every repetition of it carries the same one. ``origin`` is the address
    under which the object was made, when it has been moved since: its identity at the site stays what it was.
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
        """The address that the object's marks at the site carry: where it was made, before any move."""
        return self.origin or self.resource.address

    @property
    def site_id(self) -> str:
        """What the site itself calls the object (the output ``id``); empty when it has not told, or need not."""
        return next((value for name, value in self.outputs if name == "id"), "")

    def mark(self, lineage: str) -> Mark:
        """How the object is found at its site."""
        return Mark(lineage=lineage, address=self.original_address, generation=self.generation, op=self.op)


class ClosedOp(Frozen, frozen=True):
    """A creation that is over: whatever still turns up at the site with its ``op`` is a leftover, and may be removed.

    ``address`` is the one that it was made under; ``closed_at`` is in seconds since 1970.
    """

    op: str
    address: str
    closed_at: float


class State(Frozen, frozen=True):
    """All records of one stack. ``serial`` grows with every snapshot; ``lineage`` names the stack for ever.

    ``records`` are sorted by address; ``sites`` are the options each site was last used with, so that what was made there can be
    cleaned after the site has left the spec. ``closed_ops``, sorted by op, are kept for sites where a call may take effect long
    after it was sent.
    """

    lineage: str
    format: int = STATE_FORMAT
    serial: int = 0
    sites: tuple[Site, ...] = ()
    records: tuple[Record, ...] = ()
    closed_ops: tuple[ClosedOp, ...] = ()

    def record(self, address: str) -> Record | None:
        """The record at ``address``, or None."""
        at = bisect_left(self.records, address, key=lambda record: record.address)
        if at < len(self.records) and self.records[at].address == address:
            return self.records[at]
        return None

    def with_records(self, changed: Iterable[Record], removed: Iterable[str] = ()) -> "State":
        """This state with ``changed`` put in by address and the addresses in ``removed`` taken out."""
        by_address = {record.address: record for record in self.records}
        by_address.update((record.address, record) for record in changed)
        for address in removed:
            by_address.pop(address, None)
        return replace(self, records=tuple(by_address[address] for address in sorted(by_address)))

    def with_record(self, record: Record) -> "State":
        """This state with ``record`` put in at its address."""
        return self.with_records((record,))

    def without(self, address: str) -> "State":
        """This state without the record at ``address``; the same state when there is none."""
        return self.with_records((), (address,))

    def nodes(self, cluster: str | None = None) -> tuple[Node, ...]:
        """The recorded nodes (of ``cluster``, when given), frontends first, then by index."""
        found = [
            record.resource
            for record in self.records
            if isinstance(record.resource, Node) and cluster in (None, record.resource.cluster)
        ]
        return tuple(sorted(found, key=lambda node: (node.site, node.cluster, node.role != "frontend", node.index)))

    def site(self, name: str) -> Site | None:
        """The options the site ``name`` was last used with."""
        return next((site for site in self.sites if site.name == name), None)
