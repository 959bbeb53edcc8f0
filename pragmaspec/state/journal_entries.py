"""Journal entries, and the effect of each on the recorded state."""

from time import time
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from pragmaspec.delivery import Delivery
from pragmaspec.frozen import Frozen
from pragmaspec.planning.late.values import with_values, without_values
from pragmaspec.planning.plan import Verb
from pragmaspec.planning.wanted import Move
from pragmaspec.resources import Node, Outputs, Resource
from pragmaspec.site import Site
from pragmaspec.state_model import ClosedOp, Record, State

CLOSED_OPS_KEPT_S = 7 * 86400.0
"""For how long closed ops are recorded, so that an object that appears late with one is recognised as a leftover."""


class Begin(Frozen, frozen=True, tag_field="type", tag="begin"):
    """The first entry: lineage and serial of the snapshot that the journal extends."""

    lineage: str
    serial: int


class SiteUsed(Frozen, frozen=True, tag_field="type", tag="site"):
    """The options of a site, recorded before the first intent at it."""

    site: Site


class Intent(Frozen, frozen=True, tag_field="type", tag="intent"):
    """A call for ``resource`` is about to be sent. ``op`` (32 hexadecimal digits) links its outcome to it.

    The first intent of a creation gives its ``op`` to the record, and so to the object; later ones (a retry, a reboot) do not
    change that of the record.
    """

    op: str
    verb: Verb
    resource: Resource
    generation: int = 0


class Bound(Frozen, frozen=True, tag_field="type", tag="bound"):
    """The site has created the object and returned its ``outputs``; it may not be ready yet.

    The values among them that only the site chooses become part of the resource.
    """

    op: str
    outputs: Outputs = ()


class Done(Frozen, frozen=True, tag_field="type", tag="done"):
    """The call ended with ``record``. ``op`` is empty for an action without a call.

    A record of the same generation without op or origin inherits those of the previous record.
    """

    record: Record
    op: str = ""


class Failed(Frozen, frozen=True, tag_field="type", tag="failed"):
    """The call ended with an error. Its effect is unknown, so the intent stays open."""

    op: str
    problem: str


class Removed(Frozen, frozen=True, tag_field="type", tag="gone"):
    """The object no longer exists. ``op`` is empty for an action without a call; ``at`` is in seconds since 1970."""

    address: str
    op: str = ""
    at: float = msgspec.field(default_factory=time)


class Retracted(Frozen, frozen=True, tag_field="type", tag="cleared"):
    """The call was not sent: everything is as before the intent."""

    op: str


class Moved(Frozen, frozen=True, tag_field="type", tag="moved"):
    """Clusters or sites were renamed. One entry contains all renames of a run, so that a crash cannot split them."""

    moves: tuple[Move, ...]


JournalEntry = Begin | SiteUsed | Intent | Bound | Done | Failed | Removed | Retracted | Moved


class _OpenIntent(NamedTuple):
    """An intent without outcome, and the earlier record of its address."""

    intent: Intent
    earlier: Record | None


class JournalReplay:
    """Applies journal entries to a state, each in constant time."""

    def __init__(self, state: State) -> None:
        self._base = state
        self._records = {record.address: record for record in state.records}
        self._sites = {site.name: site for site in state.sites}
        self._open: dict[str, _OpenIntent] = {}
        self._closed = {closed.op: closed for closed in state.closed_ops}
        self._state: State | None = state

    @property
    def state(self) -> State:
        """The state after all entries so far, with the serial of the initial snapshot."""
        if self._state is None:
            self._state = replace(
                self._base,
                sites=tuple(self._sites[name] for name in sorted(self._sites)),
                records=tuple(self._records[address] for address in sorted(self._records)),
                closed_ops=self._closed_ops(),
            )
        return self._state

    def record(self, address: str) -> Record | None:
        """Return the current record at ``address``."""
        return self._records.get(address)

    def site(self, name: str) -> Site | None:
        """Return the current recorded options of the site ``name``."""
        return self._sites.get(name)

    def rebase(self, state: State) -> None:
        """Continue from ``state``, the snapshot of this replay that was just written."""
        self._base, self._state = state, state
        self._sites = {site.name: site for site in state.sites}

    def apply(self, entry: JournalEntry) -> None:
        """Apply ``entry``. Raises KeyError for an outcome without intent: such a journal is damaged."""
        self._state = None
        match entry:
            case Begin():
                return
            case SiteUsed(site=site):
                self._sites[site.name] = site
            case Intent():
                self._open[entry.op] = _OpenIntent(entry, self._records.get(entry.resource.address))
                used = self._sites.get(entry.resource.site)
                delivery = used.delivery if used is not None else None
                self._put(pending_record(entry, self._records.get(entry.resource.address), delivery))
            case Bound(op=op, outputs=outputs):
                self._change(op, outputs=outputs)
            case Failed(op=op, problem=problem):
                self._change(op, problem=problem)
            case Done(op=op, record=record):
                self._close(op)
                self._put(_with_origin(record, self._records.get(record.address)))
            case Removed(op=op, address=address):
                self._close(op)
                self._forget(address, entry.at)
            case Retracted(op=op):
                self._restore(self._open.pop(op))
            case Moved(moves=moves):
                self._move(moves)

    def _move(self, moves: tuple[Move, ...]) -> None:
        from pragmaspec.planning.moves.moves import moved_state  # noqa: PLC0415 - few runs rename anything

        moved = moved_state(self.state, moves)
        self._records = {record.address: record for record in moved.records}
        self._sites = {site.name: site for site in moved.sites}
        self._state = None

    def _put(self, record: Record | None) -> None:
        if record is not None:
            self._records[record.address] = record

    def _forget(self, address: str, at: float) -> None:
        """Remove the record; keep its op as closed at a site where a call may complete late."""
        record = self._records.pop(address, None)
        site = self._sites.get(record.resource.site) if record is not None else None
        if record is not None and record.op and site is not None and site.completes_late:
            self._closed[record.op] = ClosedOp(op=record.op, address=record.original_address, closed_at=at)

    def _closed_ops(self) -> tuple[ClosedOp, ...]:
        """Return the recent closed ops, except those of objects that were only moved to another address."""
        if not self._closed:
            return ()
        alive = {record.op for record in self._records.values()}
        since = max(closed.closed_at for closed in self._closed.values()) - CLOSED_OPS_KEPT_S
        return tuple(closed for op, closed in sorted(self._closed.items()) if op not in alive and closed.closed_at >= since)

    def _close(self, op: str) -> None:
        if op:
            del self._open[op]

    def _change(self, op: str, outputs: Outputs | None = None, problem: str | None = None) -> None:
        record = self._records.get(self._open[op].intent.resource.address)
        if record is not None:
            changed = record
            if outputs is not None:
                changed = replace(record, resource=with_values(record.resource, outputs), outputs=without_values(outputs))
            self._put(changed if problem is None else replace(changed, problem=problem))

    def _restore(self, opened: _OpenIntent) -> None:
        if opened.earlier is None:
            self._records.pop(opened.intent.resource.address, None)
        else:
            self._put(opened.earlier)


def pending_record(intent: Intent, earlier: Record | None, delivery: Delivery | None = None) -> Record | None:
    """Return the record of a resource whose ``intent`` has no outcome; ``earlier`` is its previous record.

    Clean and update keep the earlier record: both can simply be repeated, and that record makes the next plan repeat them. For
    every other verb the record is pending. ``delivery`` is that of its site.
    """
    if intent.verb in ("clean", "update"):
        return earlier
    op = "" if intent.verb == "shutdown" else intent.op
    resource = intent.resource
    if intent.verb == "boot" and _may_be_incomplete(resource, delivery):
        resource = without_guest_info(resource)
    if earlier is None:
        return Record(resource=resource, status="pending", generation=intent.generation, op=op)
    if intent.generation > earlier.generation:
        # A new object: the outputs of the earlier one do not apply to it.
        return Record(resource=resource, status="pending", generation=intent.generation, op=op, origin=earlier.origin)
    if intent.verb == "boot" and needs_guest_update(resource, earlier, earlier.generation):
        resource = without_guest_info(resource)
    return replace(earlier, resource=resource, status="pending", problem="", op=earlier.op or op)


def _with_origin(record: Record, before: Record | None) -> Record:
    """Return ``record`` with the op and origin of ``before``, the earlier record of the same object, where it has none."""
    if before is None or before.generation != record.generation or (record.op and record.origin):
        return record
    return replace(record, op=record.op or before.op, origin=record.origin or before.origin)


def needs_guest_update(resource: Resource, earlier: Record, generation: int) -> bool:
    """True if a boot of ``resource`` keeps a disk whose guest has outdated information about its cluster.

    A guest reads this information at its first boot; later updates are sent over ssh. A guest that was off has missed updates,
    unless the node's readiness is ``none``: then only changes are sent.
    """
    before = earlier.resource
    if not (isinstance(resource, Node) and isinstance(before, Node)) or earlier.generation != generation:
        return False
    changed = any(getattr(before, name) != getattr(resource, name) for name in ("keys", "peers", "users", "disks"))
    return changed or (not before.running and resource.readiness.when != "none")


def _may_be_incomplete(resource: Resource, delivery: Delivery | None) -> bool:
    """True if a boot of ``resource`` may tell it only a part, so that an unfinished one has to be followed by an update.

    A node that is ready at once gets no update, so its plan requires that everything fits.
    """
    limited = delivery is not None and delivery.limit is not None
    return limited and isinstance(resource, Node) and resource.readiness.when != "none"


def without_guest_info(resource: Resource) -> Resource:
    """Return ``resource`` as if its guest had no information about its cluster, so that the next plan updates it."""
    return replace(resource, keys="", peers="", users=()) if isinstance(resource, Node) else resource
