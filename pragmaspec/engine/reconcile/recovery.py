"""What was begun and is not known to have ended, held against what is at the site: from there an action goes on. Pure.

The record says which creation (op) is meant and, once the site has told, the id of what it made. From there:

* found, once: it is bound, and the action goes on with it;
* found more than once: the oldest is bound, the others are surplus;
* not found: the creation is repeated. Where every request makes another machine, only after the time within which the first
  one may still take effect or show;
* found without a record: somebody put the state back, or applied from another copy. It is ours by its marks and is adopted.

An answer that never came says nothing about the call, so nothing here concludes from an error. A call whose answer is lost is
repeated once by the run that made it, and for the rest by the next one.
"""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import NamedTuple

from msgspec.structs import replace

from pragmaspec.planning.observed import ObservedAllocation, ObservedNode
from pragmaspec.planning.plan import Action
from pragmaspec.resources import Allocation, Node
from pragmaspec.site import IdentityKind
from pragmaspec.state.journal_entries import without_guest_info
from pragmaspec.state_model import Record


class Resolution(NamedTuple):
    """What the record of an action's address must be before the action begins.

    ``record`` None: as it is; with another op than before: that creation is over, and what turns up of it is a leftover; without
    any: the action begins a new one. ``unseen``: nothing is there of a creation that may still take effect: wait, look again,
    rule again.
    """

    record: Record | None = None
    unseen: bool = False


UNCHANGED = Resolution()


def resolve_allocation(record: Record | None, seen: ObservedAllocation | None) -> Resolution:
    """The ruling for an allocation: its claims can be made only once, so only whose they are may differ from the record."""
    if record is None or seen is None or not seen.op or seen.op == record.op:
        return UNCHANGED
    return Resolution(record=replace(record, op=seen.op))


def resolve_deterministic_node(
    action: Action, record: Record | None, there: Sequence[ObservedNode], closed: AbstractSet[str]
) -> Resolution:
    """The ruling for a node where its identity follows from its mark (kind "ident"): repeating a creation is always right."""
    if not there:
        return UNCHANGED
    seen = there[0]
    if record is None:
        # What guests of such a machine were told is not known; that it exists, and as which build, is.
        leftover = seen.op in closed or not seen.disk
        return UNCHANGED if leftover or action.verb != "boot" else Resolution(record=_adopted(action, seen))
    op = seen.op or record.op
    if seen.generation < record.generation or (op, seen.generation) == (record.op, record.generation):
        return UNCHANGED  # An earlier build is none of the record's.
    return Resolution(record=replace(record, op=op, generation=seen.generation))


def resolve_assigned_node(
    action: Action,
    record: Record | None,
    there: Sequence[ObservedNode],
    closed: AbstractSet[str],
    kind: IdentityKind,
    *,
    waited: bool,
) -> Resolution:
    """The ruling for a node where the site makes identities up (kinds "token" and "tag")."""
    found = sorted(
        (seen for seen in there if seen.op not in closed and (record is None or seen.generation >= record.generation)),
        key=lambda seen: (seen.made, seen.id),
    )
    if record is None:
        return Resolution(record=_adopted(action, found[0])) if found and action.verb == "boot" else UNCHANGED
    if record.site_id:
        return _known(action, record, there, waited=waited)
    same = [seen for seen in found if seen.op == record.op]
    if same:
        return Resolution(record=_bound(record, same[0]))
    if found:
        return Resolution(record=_bound(record, found[0]))
    if not waited and not (kind == "token" and action.verb == "boot" and _same_request(action, record)):
        return Resolution(unseen=True)
    if kind == "token" and action.verb == "boot" and not _same_request(action, record):
        # A token stands for one request; what is wanted by now is another one.
        return Resolution(record=replace(record, op=""))
    return UNCHANGED


def bind_created(record: Record, there: Sequence[ObservedNode]) -> Record | None:
    """``record``, bound to the oldest machine of its very creation; None when none is there."""
    same = [seen for seen in there if (seen.address, seen.op) == (record.original_address, record.op)]
    return _bound(record, min(same, key=lambda seen: (seen.made, seen.id))) if same else None


def _known(action: Action, record: Record, there: Sequence[ObservedNode], *, waited: bool) -> Resolution:
    """The provider looks a known id up itself. A machine that was ready and is gone is made by a new creation."""
    ours = next((seen for seen in there if seen.id == record.site_id), None)
    if ours is not None:
        return UNCHANGED if ours.op in ("", record.op) else Resolution(record=replace(record, op=ours.op))
    if record.status == "pending":
        # Whether there is anything to shut down decides what is recorded afterwards.
        return Resolution(unseen=True) if action.verb == "shutdown" and not waited else UNCHANGED
    if action.verb != "boot":
        return UNCHANGED
    return Resolution(record=replace(record, op=""))


def _adopted(action: Action, seen: ObservedNode) -> Record:
    return _bound(Record(resource=without_guest_info(action.resource), status="pending", generation=seen.generation), seen)


def _bound(record: Record, seen: ObservedNode) -> Record:
    kept = tuple(pair for pair in record.outputs if pair[0] != "id")
    outputs = tuple(sorted((*kept, ("id", seen.id)))) if seen.id else kept
    return replace(record, op=seen.op, generation=seen.generation, outputs=outputs)


def _same_request(action: Action, record: Record) -> bool:
    """Whether a boot asks the site for what the recorded one asked for."""
    asked, before = action.resource, record.resource
    if not (isinstance(asked, Node) and isinstance(before, Node)) or action.generation > record.generation:
        return False
    return _request(asked) == _request(before)


def _request(node: Node) -> tuple[object, ...]:
    return (node.cpus, node.memory_mib, node.disk_bytes, node.image, node.nics, node.first_boot)


def granted_part(record: Record, seen: ObservedAllocation | None) -> Record | None:
    """What is held of an allocation that the site refuses because somebody else has a part of it; None: nothing.

    What it does not hold the next plan chooses anew.
    """
    wanted = record.resource
    if seen is None or not isinstance(wanted, Allocation):
        return None
    carried = dict(seen.vlans)
    networks = tuple(each for each in wanted.networks if each.vlan is None or carried.get(each.name) == each.vlan)
    if not networks or networks[0] != wanted.private:
        return None
    public = tuple(grant for grant in wanted.public if grant.address in seen.public)
    if (networks, public) == (wanted.networks, wanted.public):
        return record
    return replace(record, resource=replace(wanted, networks=networks, public=public), status="pending")
