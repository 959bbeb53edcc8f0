"""Differences between desired and recorded resources, field by field."""

from collections.abc import Iterable, Mapping

from msgspec.structs import replace

from pragmaspec.errors import Where
from pragmaspec.frozen import Frozen
from pragmaspec.planning.desired import Desired
from pragmaspec.resources import Node, Resource
from pragmaspec.state_model import Record, State


class Change(Frozen, frozen=True):
    """The difference at one address. ``before`` None: new; ``after`` None: no longer wanted; otherwise ``fields`` changed."""

    before: Record | None
    after: Resource | None
    fields: tuple[str, ...] = ()
    where: Where | None = None

    @property
    def address(self) -> str:
        """Address of the resource."""
        if self.after is not None:
            return self.after.address
        return self.before.address if self.before is not None else ""


def changes(desired: Iterable[Desired], state: State, drifted: frozenset[str] = frozenset()) -> list[Change]:
    """Return all differences: desired resources in their order, then those no longer wanted by address.

    ``drifted``: addresses at which the site has drifted. They count as changed even if they match the spec by now, because the
    state has to be updated.
    """
    found: list[Change] = []
    recorded: Mapping[str, Record] = {record.address: record for record in state.records}
    wanted: set[str] = set()
    for resource, where in desired:
        address = resource.address
        wanted.add(address)
        record = recorded.get(address)
        if record is None:
            found.append(Change(before=None, after=resource, where=where))
            continue
        after = _applicable(resource, record)
        if record.status != "ready" or record.resource != after or address in drifted:
            found.append(Change(before=record, after=after, fields=changed_fields(record.resource, after), where=where))
    found.extend(Change(before=recorded[address], after=None) for address in sorted(recorded.keys() - wanted))
    return found


def _applicable(desired: Resource, record: Record) -> Resource:
    """Return ``desired`` without new keys and members if it is a node that should be off: they are updated once it runs."""
    before = record.resource
    if isinstance(desired, Node) and isinstance(before, Node) and not desired.running:
        return replace(desired, keys=before.keys, peers=before.peers)
    return desired


def changed_fields(before: Resource, after: Resource) -> tuple[str, ...]:
    """Return the names of the fields that differ, in their declared order."""
    return tuple(name for name in before.__struct_fields__ if getattr(before, name) != getattr(after, name))
