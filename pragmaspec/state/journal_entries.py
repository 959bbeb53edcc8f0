"""What a journal line says: the record types, and what each does to the recorded state. Pure."""

from time import time

import msgspec
from msgspec.structs import replace

from pragmaspec.frozen import Frozen
from pragmaspec.planning.plan import Verb
from pragmaspec.planning.wanted import Move
from pragmaspec.resources import Node, Outputs, Resource
from pragmaspec.site import Site
from pragmaspec.state_model import ClosedOp, Record, State

CLOSED_OPS_KEPT_S = 7 * 86400.0
"""How long an op that is over is remembered, so that what turns up late with it is known to be a leftover."""


class Begin(Frozen, frozen=True, tag_field="type", tag="begin"):
    """The first line: which snapshot the journal extends."""

    lineage: str
    serial: int


class SiteUsed(Frozen, frozen=True, tag_field="type", tag="site"):
    """The options of a site, written before the first intent at it."""

    site: Site


class Intent(Frozen, frozen=True, tag_field="type", tag="intent"):
    """A call is about to leave the machine. ``op`` (32 hexadecimal digits) ties its outcome to it.

    ``resource`` is what was asked for, whole. The first intent of a creation gives its ``op`` to the record and so to the object;
    later ones (a repetition, a reboot) leave the record's as it is.
    """

    op: str
    verb: Verb
    resource: Resource
    generation: int = 0


class Bound(Frozen, frozen=True, tag_field="type", tag="bound"):
    """The site has made the object and told its ``outputs``; it may not be ready yet."""

    op: str
    outputs: Outputs = ()


class Done(Frozen, frozen=True, tag_field="type", tag="done"):
    """The call ended and this is what is there now. ``op`` is empty for what needed no call.

    A record of the same generation that does not say under which op and address it was made keeps those of the one before it.
    """

    record: Record
    op: str = ""


class Failed(Frozen, frozen=True, tag_field="type", tag="failed"):
    """The call ended with an error, so how far it came is not known: the intent stays open."""

    op: str
    problem: str


class Removed(Frozen, frozen=True, tag_field="type", tag="gone"):
    """The object is no longer at the site. ``op`` is empty for what needed no call; ``at`` is in seconds since 1970."""

    address: str
    op: str = ""
    at: float = msgspec.field(default_factory=time)


class Retracted(Frozen, frozen=True, tag_field="type", tag="cleared"):
    """The call never left the machine: everything is as it was before the intent."""

    op: str


class Moved(Frozen, frozen=True, tag_field="type", tag="moved"):
    """Clusters or sites have other names now. One entry for all that is called otherwise: a crash leaves no half of it."""

    moves: tuple[Move, ...]


JournalEntry = Begin | SiteUsed | Intent | Bound | Done | Failed | Removed | Retracted | Moved


class _Open:
    """An intent without its outcome, and the record that its address had before."""

    def __init__(self, intent: Intent, earlier: Record | None) -> None:
        self.intent = intent
        self.earlier = earlier


class JournalReplay:
    """A state that journal entries are applied to, one by one, each in constant time."""

    def __init__(self, state: State) -> None:
        self._base = state
        self._records = {record.address: record for record in state.records}
        self._sites = {site.name: site for site in state.sites}
        self._open: dict[str, _Open] = {}
        self._closed = {closed.op: closed for closed in state.closed_ops}
        self._state: State | None = state

    @property
    def state(self) -> State:
        """The state after every entry so far, with the serial of the snapshot it started from."""
        if self._state is None:
            self._state = replace(
                self._base,
                sites=tuple(self._sites[name] for name in sorted(self._sites)),
                records=tuple(self._records[address] for address in sorted(self._records)),
                closed_ops=self._closed_ops(),
            )
        return self._state

    def record(self, address: str) -> Record | None:
        """The record at ``address`` now."""
        return self._records.get(address)

    def site(self, name: str) -> Site | None:
        """The options of site ``name`` as they are recorded now."""
        return self._sites.get(name)

    def rebase(self, state: State) -> None:
        """Go on from ``state``, the snapshot that was just written of this ledger."""
        self._base, self._state = state, state
        self._sites = {site.name: site for site in state.sites}

    def apply(self, entry: JournalEntry) -> None:
        """Let ``entry`` have happened. Raises KeyError for an outcome without its intent: such a journal is damaged."""
        self._state = None
        match entry:
            case Begin():
                return
            case SiteUsed(site=site):
                self._sites[site.name] = site
            case Intent():
                self._open[entry.op] = _Open(entry, self._records.get(entry.resource.address))
                self._put(pending_record(entry, self._records.get(entry.resource.address)))
            case Bound(op=op, outputs=outputs):
                self._change(op, outputs=outputs)
            case Failed(op=op, problem=problem):
                self._change(op, problem=problem)
            case Done(op=op, record=record):
                self._close(op)
                self._put(_as_made(record, self._records.get(record.address)))
            case Removed(op=op, address=address):
                self._close(op)
                self._forget(address, entry.at)
            case Retracted(op=op):
                self._restore(self._open.pop(op))
            case Moved(moves=moves):
                self._move(moves)

    def _move(self, moves: tuple[Move, ...]) -> None:
        from pragmaspec.planning.moves.moves import moved_state  # noqa: PLC0415 - most runs rename nothing

        moved = moved_state(self.state, moves)
        self._records = {record.address: record for record in moved.records}
        self._sites = {site.name: site for site in moved.sites}
        self._state = None

    def _put(self, record: Record | None) -> None:
        if record is not None:
            self._records[record.address] = record

    def _forget(self, address: str, at: float) -> None:
        """Take the record away, and remember its op where something may still turn up with it."""
        record = self._records.pop(address, None)
        site = self._sites.get(record.resource.site) if record is not None else None
        if record is not None and record.op and site is not None and site.completes_late:
            self._closed[record.op] = ClosedOp(op=record.op, address=record.original_address, closed_at=at)

    def _closed_ops(self) -> tuple[ClosedOp, ...]:
        """Ops that are over and not too old, but for those of an object that only has another address now."""
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
            changed = record if outputs is None else replace(record, outputs=outputs)
            self._put(changed if problem is None else replace(changed, problem=problem))

    def _restore(self, opened: _Open) -> None:
        if opened.earlier is None:
            self._records.pop(opened.intent.resource.address, None)
        else:
            self._put(opened.earlier)


def pending_record(intent: Intent, earlier: Record | None) -> Record | None:
    """The record of a resource while ``intent`` has no outcome; ``earlier`` is the one before it.

    Cleaning and updating keep the earlier record: both can simply be done again, and the earlier record says that they must be.
    Everything else is pending.
    """
    if intent.verb in ("clean", "update"):
        return earlier
    op = "" if intent.verb == "shutdown" else intent.op
    if earlier is None:
        return Record(resource=intent.resource, status="pending", generation=intent.generation, op=op)
    if intent.generation > earlier.generation:
        # Another object altogether: what the site told of the one before it says nothing about this one.
        return Record(resource=intent.resource, status="pending", generation=intent.generation, op=op, origin=earlier.origin)
    resource = intent.resource
    if intent.verb == "boot" and needs_guest_update(resource, earlier, earlier.generation):
        resource = without_guest_info(resource)
    return replace(earlier, resource=resource, status="pending", problem="", op=earlier.op or op)


def _as_made(record: Record, before: Record | None) -> Record:
    """``record`` with the op and the origin of ``before``, where it has none of its own and is about the same object."""
    if before is None or before.generation != record.generation or (record.op and record.origin):
        return record
    return replace(record, op=record.op or before.op, origin=record.origin or before.origin)


def needs_guest_update(resource: Resource, earlier: Record, generation: int) -> bool:
    """True if a boot of ``resource`` keeps a disk whose guest was last told something else, or was off and missed something.

    A guest reads what it is told of its cluster at its first boot; later it is told over ssh. Where no guest is waited for,
    it is told only what has changed.
    """
    before = earlier.resource
    if not (isinstance(resource, Node) and isinstance(before, Node)) or earlier.generation != generation:
        return False
    changed = (before.keys, before.peers) != (resource.keys, resource.peers)
    return changed or (not before.running and resource.readiness.when != "none")


def without_guest_info(resource: Resource) -> Resource:
    """``resource`` as one whose guest may know nothing of its cluster, so that the next plan sees to it."""
    return replace(resource, keys="", peers="") if isinstance(resource, Node) else resource
