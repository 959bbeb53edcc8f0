"""From changes to actions: which verbs, in which order, why, and at what risk."""

from collections.abc import Iterable, Mapping

from msgspec.structs import replace

from pragmaspec.planning.diff import Change
from pragmaspec.planning.drift.condition import HEALTHY, Condition
from pragmaspec.planning.drift.losses import with_losses
from pragmaspec.planning.drift.refresh import RefreshedState
from pragmaspec.planning.impact import FIELD_IMPACT, changed_fields_text, node_impact, worst_impact
from pragmaspec.planning.plan import INFORMATIONAL_KINDS, Action, Impact, Verb
from pragmaspec.resources import Allocation, Node, Resource, StagedImage
from pragmaspec.state_model import Record

NEW, NEW_CLUSTER = "new", "new cluster"
SHALL_BE_OFF, SHALL_RUN = "shall be off", "shall run"
NO_LONGER_WANTED, NO_LONGER_USED = "no longer wanted", "no longer used"
REQUESTED = "asked for"
NOT_STAGED = "not at the site yet"
ALREADY_STAGED = "already at the site"
OBVIOUS_REASONS = frozenset((NEW, NEW_CLUSTER, SHALL_BE_OFF, SHALL_RUN, NO_LONGER_WANTED, NO_LONGER_USED, REQUESTED, NOT_STAGED))
"""Reasons that say no more than the verb: where room is short they are left out."""


def actions(
    changes: Iterable[Change],
    facts: RefreshedState,
    patient: frozenset[tuple[str, str]] = frozenset(),
    replaced: frozenset[str] = frozenset(),
) -> tuple[Action, ...]:
    """The actions that make ``changes`` true, each after what it waits for.

    ``patient``: clusters, by site and name, whose computes boot after their frontend; ``replaced``: addresses of nodes that are
    made anew in any case.
    """
    drift = {found.address: found.detail for found in facts.drift if found.kind not in INFORMATIONAL_KINDS}
    found: list[Action] = []
    for change in changes:
        machine = facts.conditions.get(change.address, HEALTHY)
        if change.after is None:
            removal = _removal(change, change.before, facts.gone) if change.before is not None else []
            found += with_losses(removal, machine, change.fields)
        elif isinstance(change.after, Node) and change.address in replaced - facts.gone and change.before is not None:
            anew = _rebuild(change, change.before, _as_node(change.before), change.after, REQUESTED)
            found += with_losses(anew, machine, change.fields)
        elif isinstance(change.after, Node):
            found += with_losses(_node_actions(change, change.after, facts, drift, machine), machine, change.fields)
        elif isinstance(change.after, Allocation):
            found += _allocation_actions(change, change.after, facts.gone, drift)
        else:
            found += _image_actions(change, change.after, drift)
    return _ordered(found, patient)


def _node_actions(
    change: Change, after: Node, facts: RefreshedState, drift: Mapping[str, str], machine: Condition
) -> list[Action]:
    record = change.before
    if record is None:
        return [Action(verb="boot", resource=after, reason=NEW, where=change.where)] if after.running else []
    if change.address in facts.gone:
        return _booted(change, record, after, drift[change.address]) if after.running else _forgotten(record)
    before = _as_node(record)
    impact = worst_impact((node_impact(before, after, change.fields), machine.impact))
    reason = drift.get(change.address, changed_fields_text(change.fields) if change.fields else "begun, not finished")
    if impact == "rebuild":
        return _rebuild(change, record, before, after, reason, facts.unmade)
    if record.status != "ready":
        return _unfinished(change, record, after, drift.get(change.address, _unfinished_words(record)), impact)
    if not after.running:
        if not before.running:
            verb: Verb = "update" if impact == "live" else "record"  # Only whether it starts with its host can be changed then.
            return [_changing(verb, change, record, after, reason, impact)]
        return [_changing("shutdown", change, record, after, drift.get(change.address, SHALL_BE_OFF), "none")]
    if not before.running:
        return _booted(change, record, after, drift.get(change.address, SHALL_RUN))
    if impact == "reboot":
        return _rebooted(change, record, before, after, reason)
    if machine.way:
        return _booted(change, record, after, reason, machine.impact)
    return [_changing("update" if impact == "live" else "record", change, record, after, reason, impact)]


def _removal(change: Change, record: Record, gone: frozenset[str]) -> list[Action]:
    node = record.resource
    if not isinstance(node, Node):
        reason = NO_LONGER_WANTED if isinstance(node, Allocation) else NO_LONGER_USED
        return [_changing("clean", change, record, node, reason, "none")]
    if change.address in gone:
        return [_changing("clean", change, record, node, "no longer wanted; already gone from the site", "none")]
    clean = _changing("clean", change, record, node, NO_LONGER_WANTED, "data-loss")
    if not node.running:
        return [clean]
    down = _changing("shutdown", change, record, node, NO_LONGER_WANTED, "none")
    return [down, replace(clean, after=(down.key,))]


def _rebuild(
    change: Change, record: Record, before: Node, after: Node, reason: str, unmade: frozenset[str] = frozenset()
) -> list[Action]:
    """Clean and boot anew; a node that shall be off is only cleaned, and made anew when it shall run."""
    if not after.running and change.address in unmade:
        return _forgotten(record)
    impact: Impact = "rebuild" if after.running else "data-loss"
    clean = _changing("clean", change, record, before, reason, impact)
    built = [clean]
    if after.running:
        boot = _changing("boot", change, record, after, reason, impact)
        built.append(replace(boot, generation=record.generation + 1, after=(clean.key,)))
    if not before.running:
        return built
    down = _changing("shutdown", change, record, before, reason, impact if after.running else "none")
    return [down, replace(clean, after=(down.key,)), *built[1:]]


def _unfinished(change: Change, record: Record, after: Node, reason: str, impact: Impact) -> list[Action]:
    if not after.running:
        return [_changing("shutdown", change, record, after, reason, "none")]
    if impact == "reboot":
        return _rebooted(change, record, _as_node(record), after, reason)
    return _booted(change, record, after, reason)


def _unfinished_words(record: Record) -> str:
    if record.status == "degraded":
        return f"not ready: {record.problem}" if record.problem else "not ready"
    return f"begun, not finished: {record.problem}" if record.problem else "begun, not finished"


def _rebooted(change: Change, record: Record, before: Node, after: Node, reason: str) -> list[Action]:
    down = _changing("shutdown", change, record, before, reason, "reboot")
    boot, *update = _booted(change, record, after, reason, "reboot")
    return [down, replace(boot, after=(down.key,)), *update]


def _booted(change: Change, record: Record, after: Node, reason: str, impact: Impact = "none") -> list[Action]:
    """Boot what was booted before. Its disk may be the old one, which learns of new keys and members only when it is told."""
    boot = _changing("boot", change, record, after, reason, impact)
    if not any(FIELD_IMPACT[name] == "live" and name != "autostart" for name in change.fields):
        return [boot]
    return [boot, replace(_changing("update", change, record, after, reason, "live"), after=(boot.key,))]


def _forgotten(record: Record) -> list[Action]:
    """A node that shall be off and is gone is no longer recorded: it is made anew when it shall run."""
    reason = "begun, and not at the site" if record.status == "pending" else "is gone from the site"
    return [Action(verb="clean", resource=record.resource, before=record.resource, reason=reason, generation=record.generation)]


def _allocation_actions(change: Change, after: Allocation, gone: frozenset[str], drift: Mapping[str, str]) -> list[Action]:
    record = change.before
    if record is None:
        return [Action(verb="allocate", resource=after, reason=NEW_CLUSTER, where=change.where)]
    if change.fields == ("protect",) and record.status == "ready" and change.address not in gone:
        return [_changing("record", change, record, after, changed_fields_text(change.fields), "none")]
    reason = changed_fields_text(change.fields) if change.fields else "begun, not finished"
    impact: Impact = "live" if change.fields else "none"
    return [_changing("allocate", change, record, after, drift.get(change.address, reason), impact)]


def _image_actions(change: Change, after: StagedImage, drift: Mapping[str, str]) -> list[Action]:
    record = change.before
    if record is not None and change.fields and record.status == "ready" and change.address not in drift:
        return [_changing("record", change, record, after, changed_fields_text(change.fields), "none")]
    before = record.resource if record is not None else None
    reason = drift.get(change.address, "begun, not finished" if record is not None else NOT_STAGED)
    return [Action(verb="stage", resource=after, before=before, reason=reason, where=change.where)]


def _changing(
    verb: Verb, change: Change, record: Record, resource: Node | Allocation | StagedImage, reason: str, impact: Impact
) -> Action:
    return Action(
        verb=verb,
        resource=resource,
        before=record.resource,
        reason=reason,
        generation=record.generation,
        impact=impact,
        where=change.where,
    )


def _ordered(found: list[Action], patient: frozenset[tuple[str, str]]) -> tuple[Action, ...]:
    """``found`` with the dependencies between resources put in, in the order that people read."""
    keys = {action.key for action in found}
    by_cluster = _ClusterKeys(found, patient)
    staying = {action.address for action in found if action.verb in ("boot", "update", "record")}
    complete = (replace(action, after=(*action.after, *by_cluster.before(action, keys))) for action in found)
    return tuple(sorted(complete, key=lambda action: _place(action, action.address in staying)))


class _ClusterKeys:
    """Keys of the actions that others of the same cluster or site wait for."""

    def __init__(self, found: list[Action], patient: frozenset[tuple[str, str]]) -> None:
        self._patient = patient
        self._down: dict[tuple[str, str], list[str]] = {}
        self._cleaned: dict[tuple[str, str], list[str]] = {}
        self._image_users: dict[tuple[str, str], list[str]] = {}
        self._frontend_boot: dict[tuple[str, str], str] = {}
        self._booted = {action.address: action.resource for action in found if action.verb == "boot"}
        for action in found:
            if isinstance(action.resource, Node):
                self._note(action, action.resource)

    def _note(self, action: Action, node: Node) -> None:
        cluster = (node.site, node.cluster)
        if action.verb == "shutdown" and node.role == "compute":
            self._down.setdefault(cluster, []).append(action.key)
        elif action.verb == "clean":
            self._cleaned.setdefault(cluster, []).append(action.key)
            before = action.before if isinstance(action.before, Node) else node
            self._image_users.setdefault((node.site, before.image), []).append(action.key)
        elif action.verb == "boot" and node.role == "frontend":
            self._frontend_boot[cluster] = action.key

    def before(self, action: Action, keys: set[str]) -> tuple[str, ...]:
        """What ``action`` waits for beside its own chain."""
        resource = action.resource
        if isinstance(resource, StagedImage):
            return tuple(self._image_users.get((resource.site, resource.digest), ())) if action.verb == "clean" else ()
        cluster = (resource.site, resource.cluster)
        if isinstance(resource, Allocation):
            return tuple(self._cleaned.get(cluster, ())) if action.verb == "clean" else ()
        needed = _needed_to_boot(self._booted.get(action.address), keys)
        if action.verb == "boot":
            return (*needed, *(self._frontend_booted(resource, cluster) if cluster in self._patient else ()))
        if action.verb == "clean":
            return needed
        if action.verb == "shutdown":
            return (*needed, *(self._down.get(cluster, ()) if resource.role == "frontend" else ()))
        return self._frontend_booted(resource, cluster) if action.verb == "update" else ()

    def _frontend_booted(self, node: Node, cluster: tuple[str, str]) -> tuple[str, ...]:
        """The boot of the frontend that a compute of ``cluster`` is reached through."""
        return (self._frontend_boot[cluster],) if node.role == "compute" and cluster in self._frontend_boot else ()


def _needed_to_boot(node: Resource | None, keys: set[str]) -> tuple[str, ...]:
    """Keys of the actions that must precede the boot of ``node``: staging its image, allocating its cluster's networks.

    A node that boots again is stopped, and its old disk removed, only after them: if one fails, the node stays as it is.
    """
    if not isinstance(node, Node):
        return ()
    needed = (f"stage {node.site}/image/{node.image[:16]}", f"allocate {node.site}/{node.cluster}/allocation")
    return tuple(key for key in needed if key in keys)


_VERB_PLACE: dict[Verb, int] = {"stage": 0, "allocate": 1, "record": 2, "shutdown": 3, "clean": 4, "boot": 5, "update": 6}


def _place(action: Action, stays: bool) -> tuple[object, ...]:
    """Where an action stands in the list; what goes is shown as it goes: after what stays, the highest index first."""
    resource = action.resource
    if isinstance(resource, Node):
        is_compute = resource.role == "compute"
        by_role = (is_compute, resource.index) if stays else (not is_compute, -resource.index)
        return (2, resource.site, resource.cluster, not stays, *by_role, _VERB_PLACE[action.verb])
    going = action.verb == "clean"
    if isinstance(resource, Allocation):
        return (3 if going else 1, resource.site, resource.address)
    return (4 if going else 0, resource.site, resource.name, resource.address)


def _as_node(record: Record) -> Node:
    if not isinstance(record.resource, Node):
        raise TypeError(record.address)
    return record.resource
