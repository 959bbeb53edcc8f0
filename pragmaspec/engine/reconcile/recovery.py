"""Resolves interrupted operations against the site's current objects. Pure.

A record holds the op of its creation and, once the site has answered, the id of the created object. From there:

* found once: it is bound, and the action continues with it;
* found more than once: the oldest is bound, the others are surplus;
* not found: the creation is repeated. Where every request creates another machine, it is repeated only after the time within
  which the first one may still take effect or appear;
* found without a record: the state was restored, or another copy of it was applied. The object is ours by its marks, and is
  adopted.

A missing answer does not tell whether the call took effect, so nothing here is concluded from an error. A call without an answer
is repeated once in the same run, and otherwise by the next run.
"""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import NamedTuple

from msgspec.structs import replace

from pragmaspec.planning.observed import ObservedAllocation, ObservedNode
from pragmaspec.planning.plan import Action
from pragmaspec.resources import Allocation, Network, Node
from pragmaspec.site import IdentityKind
from pragmaspec.state.journal_entries import without_guest_info
from pragmaspec.state_model import Record


class Resolution(NamedTuple):
    """The record that an action has to start from.

    ``record`` None: the present one. Another op than before: the earlier creation is closed, and its objects are leftovers; an
    empty op: the action begins a new creation. ``unseen``: no object of a creation that may still take effect was found, so wait,
    observe and resolve again.
    """

    record: Record | None = None
    unseen: bool = False


UNCHANGED = Resolution()


def resolve_allocation(record: Record | None, observed: ObservedAllocation | None) -> Resolution:
    """Resolve an allocation. Its claims cannot exist twice, so only the op may differ from the record."""
    if record is None or observed is None or not observed.op or observed.op == record.op:
        return UNCHANGED
    return Resolution(record=replace(record, op=observed.op))


def resolve_deterministic_node(
    action: Action, record: Record | None, observed: Sequence[ObservedNode], closed: AbstractSet[str]
) -> Resolution:
    """Resolve a node whose identity follows from its mark (kind "ident"): its creation can always be repeated."""
    if not observed:
        return UNCHANGED
    node = observed[0]
    if record is None:
        # It exists, and its generation is known, but not the configuration of its guest.
        leftover = node.op in closed or not node.disk
        return UNCHANGED if leftover or action.verb != "boot" else Resolution(record=_adopted(action, node))
    op = node.op or record.op
    if node.generation < record.generation or (op, node.generation) == (record.op, record.generation):
        return UNCHANGED  # A machine of an earlier generation is not the recorded one.
    return Resolution(record=replace(record, op=op, generation=node.generation))


def resolve_assigned_node(
    action: Action,
    record: Record | None,
    observed: Sequence[ObservedNode],
    closed: AbstractSet[str],
    kind: IdentityKind,
    *,
    waited: bool,
) -> Resolution:
    """Resolve a node whose identity is assigned by the site (kinds "token" and "tag")."""
    candidates = sorted(
        (node for node in observed if node.op not in closed and (record is None or node.generation >= record.generation)),
        key=_age,
    )
    if record is None:
        return Resolution(record=_adopted(action, candidates[0])) if candidates and action.verb == "boot" else UNCHANGED
    if record.site_id:
        return _resolve_known_node(action, record, observed, waited=waited)
    if candidates:
        same_op = [node for node in candidates if node.op == record.op]
        return Resolution(record=_bound(record, (same_op or candidates)[0]))
    if kind == "token" and action.verb == "boot" and _same_request(action, record):
        return UNCHANGED
    if not waited:
        return Resolution(unseen=True)
    if kind == "token" and action.verb == "boot":
        # A token is valid for one request only, and the request has changed.
        return Resolution(record=replace(record, op=""))
    return UNCHANGED


def bind_created(record: Record, observed: Sequence[ObservedNode]) -> Record | None:
    """Return ``record`` bound to the oldest machine of its own creation; None if there is none."""
    same = [node for node in observed if (node.address, node.op) == (record.original_address, record.op)]
    return _bound(record, min(same, key=_age)) if same else None


def granted_part(record: Record, observed: ObservedAllocation | None) -> Record | None:
    """Return the record of what the site still grants of an allocation after a conflict with another owner; None for nothing.

    The next plan chooses replacements for the rest.
    """
    wanted = record.resource
    if observed is None or not isinstance(wanted, Allocation):
        return None
    networks = tuple(each for each in wanted.networks if _is_granted(each, observed))
    if not networks or networks[0] != wanted.private:
        return None
    public = tuple(grant for grant in wanted.public if grant.address in observed.public)
    if (networks, public) == (wanted.networks, wanted.public):
        return record
    return replace(record, resource=replace(wanted, networks=networks, public=public), status="pending")


def _is_granted(network: Network, observed: ObservedAllocation) -> bool:
    if network.vlan is not None:
        return dict(observed.vlans).get(network.name) == network.vlan
    return not network.is_made or network.name in observed.networks


def _resolve_known_node(action: Action, record: Record, observed: Sequence[ObservedNode], *, waited: bool) -> Resolution:
    """Resolve a node with a known id, which the provider looks up itself. A ready machine that is gone is created anew."""
    recorded = next((node for node in observed if node.id == record.site_id), None)
    if recorded is not None:
        return UNCHANGED if recorded.op in ("", record.op) else Resolution(record=replace(record, op=recorded.op))
    if record.status == "pending":
        # The record after a shutdown depends on whether there was a machine.
        return Resolution(unseen=True) if action.verb == "shutdown" and not waited else UNCHANGED
    if action.verb != "boot":
        return UNCHANGED
    return Resolution(record=replace(record, op=""))


def _age(node: ObservedNode) -> tuple[float, str]:
    return (node.made, node.id)


def _adopted(action: Action, observed: ObservedNode) -> Record:
    resource = without_guest_info(action.resource)
    return _bound(Record(resource=resource, status="pending", generation=observed.generation), observed)


def _bound(record: Record, observed: ObservedNode) -> Record:
    others = tuple(pair for pair in record.outputs if pair[0] != "id")
    outputs = tuple(sorted((*others, ("id", observed.id)))) if observed.id else others
    return replace(record, op=observed.op, generation=observed.generation, outputs=outputs)


def _same_request(action: Action, record: Record) -> bool:
    """True if a boot would repeat the recorded request."""
    wanted, recorded = action.resource, record.resource
    if not (isinstance(wanted, Node) and isinstance(recorded, Node)) or action.generation > record.generation:
        return False
    return _request(wanted) == _request(recorded)


def _request(node: Node) -> tuple[object, ...]:
    return (
        node.cpus,
        node.memory_mib,
        node.disk_bytes,
        node.image,
        node.nics,
        node.first_boot,
        node.flavor,
        node.disks,
        node.devices,
        node.cpu,
        node.pinned,
    )
