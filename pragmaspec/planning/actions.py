"""Turns changes into ordered actions: their verbs, reasons and impacts."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from msgspec.structs import replace

from pragmaspec.planning.diff import Change
from pragmaspec.planning.drift.condition import HEALTHY, Condition
from pragmaspec.planning.drift.losses import with_discards, with_losses
from pragmaspec.planning.drift.refresh import RefreshedState
from pragmaspec.planning.impact import FIELD_IMPACT, changed_fields_text, node_impact, worst_impact
from pragmaspec.planning.plan import INFORMATIONAL_KINDS, Action, Impact, Verb
from pragmaspec.planning.storage.disks import with_new_disks
from pragmaspec.resources import Allocation, Node, Resource, StagedImage, Volume
from pragmaspec.state_model import Record

NEW, NEW_CLUSTER = "new", "new cluster"
SHOULD_BE_OFF, SHOULD_RUN = "should be off", "should be running"
NO_LONGER_WANTED, NO_LONGER_USED = "no longer wanted", "no longer used"
REQUESTED = "requested"
NOT_STAGED = "not at the site yet"
ALREADY_STAGED = "already at the site"
LIVES_THERE = "lives at the site"
UNFINISHED = "unfinished"
FOUND = "found at the site"
OBVIOUS_REASONS = frozenset(
    (NEW, NEW_CLUSTER, SHOULD_BE_OFF, SHOULD_RUN, NO_LONGER_WANTED, NO_LONGER_USED, REQUESTED, NOT_STAGED)
)
"""Reasons that add nothing to the verb; narrow terminals leave them out."""


Waits = Mapping[tuple[str, str, str], tuple[str, ...]]
"""The sets of nodes that boot after others, by site, cluster and name: the names of those that have to be ready first."""
_NO_WAITS: Waits = MappingProxyType({})


def actions(
    changes: Iterable[Change],
    refreshed: RefreshedState,
    waits: Waits = _NO_WAITS,
    replaced: frozenset[str] = frozenset(),
) -> tuple[Action, ...]:
    """Return the actions that make ``changes``, in reading order, each with the actions to complete first.

    ``waits``: sets of nodes that boot after others; ``replaced``: addresses of nodes to rebuild in any case.
    """
    drift = {each.address: each.detail for each in refreshed.drift if each.kind not in INFORMATIONAL_KINDS}
    found: list[Action] = []
    for change in changes:
        machine = refreshed.conditions.get(change.address, HEALTHY)
        if change.after is None:
            removal = _removal(change, change.before, refreshed.gone) if change.before is not None else []
            found += with_losses(removal, machine, change.fields)
        elif isinstance(change.after, Node) and change.address in replaced - refreshed.gone and change.before is not None:
            rebuild = _rebuild(change, change.before, _as_node(change.before), change.after, REQUESTED)
            found += with_losses(rebuild, machine, change.fields)
        elif isinstance(change.after, Node):
            changed = _node_actions(change, change.after, refreshed, drift, machine)
            found += with_discards(with_losses(changed, machine, change.fields))
        elif isinstance(change.after, Allocation):
            found += _allocation_actions(change, change.after, refreshed.gone, drift)
        elif isinstance(change.after, Volume):
            found.append(_volume_action(change, change.after, refreshed, drift))
        else:
            found += _image_actions(change, change.after, drift)
    return _ordered(found, waits)


def _node_actions(
    change: Change, after: Node, refreshed: RefreshedState, drift: Mapping[str, str], machine: Condition
) -> list[Action]:
    record = change.before
    if record is None:
        return [Action(verb="boot", resource=after, reason=NEW, where=change.where)] if after.running else []
    if change.address in refreshed.gone:
        return _boot(change, record, after, drift[change.address]) if after.running else _forget(record)
    before = _as_node(record)
    impact = worst_impact((node_impact(before, after, change.fields), machine.impact))
    reason = drift.get(change.address, changed_fields_text(change.fields) if change.fields else UNFINISHED)
    if impact == "rebuild":
        return _rebuild(change, record, before, after, reason, refreshed.never_created)
    if record.status != "ready":
        finish = _finish(change, record, after, drift.get(change.address, _unfinished_reason(record)), impact)
        is_new = after.running and impact != "reboot" and change.address in refreshed.never_created
        return [replace(action, before=None, impact="none") for action in finish] if is_new else finish
    if not after.running:
        if not before.running:
            # Autostart is the only thing that can change live on a node that is off.
            return [_change("update" if impact == "live" else "record", change, record, after, reason, impact)]
        return [_change("shutdown", change, record, after, drift.get(change.address, SHOULD_BE_OFF), "none")]
    if not before.running:
        return _boot(change, record, after, drift.get(change.address, SHOULD_RUN))
    if impact == "reboot":
        return _reboot(change, record, before, after, reason)
    if machine.way:
        return _boot(change, record, after, reason, machine.impact)
    return [_change("update" if impact == "live" else "record", change, record, after, reason, impact)]


def _removal(change: Change, record: Record, gone: frozenset[str]) -> list[Action]:
    node = record.resource
    if isinstance(node, Volume):
        # Also if it seems to be gone: its storage may only be absent for a while.
        return [_change("clean", change, record, node, NO_LONGER_WANTED, "data-loss")]
    if not isinstance(node, Node):
        reason = NO_LONGER_WANTED if isinstance(node, Allocation) else NO_LONGER_USED
        return [_change("clean", change, record, node, reason, "none")]
    if change.address in gone:
        return [_change("clean", change, record, node, "no longer wanted; already gone from the site", "none")]
    clean = _change("clean", change, record, node, NO_LONGER_WANTED, "data-loss")
    if not node.running:
        return [clean]
    shutdown = _change("shutdown", change, record, node, NO_LONGER_WANTED, "none")
    return [shutdown, replace(clean, after=(shutdown.key,))]


def _rebuild(
    change: Change, record: Record, before: Node, after: Node, reason: str, never_created: frozenset[str] = frozenset()
) -> list[Action]:
    """Clean and boot with a new generation. A node that should be off is only cleaned; switching it on creates it."""
    if not after.running and change.address in never_created:
        return _forget(record)
    impact: Impact = "rebuild" if after.running else "data-loss"
    clean = _change("clean", change, record, before, reason, impact)
    rebuild = [clean]
    if after.running:
        boot = _change("boot", change, record, with_new_disks(after), reason, impact)
        rebuild.append(replace(boot, generation=record.generation + 1, after=(clean.key,)))
    if not before.running:
        return rebuild
    shutdown = _change("shutdown", change, record, before, reason, impact if after.running else "none")
    return [shutdown, replace(clean, after=(shutdown.key,)), *rebuild[1:]]


def _finish(change: Change, record: Record, after: Node, reason: str, impact: Impact) -> list[Action]:
    if not after.running:
        return [_change("shutdown", change, record, after, reason, "none")]
    if impact == "reboot":
        return _reboot(change, record, _as_node(record), after, reason)
    return _boot(change, record, after, reason)


def _unfinished_reason(record: Record) -> str:
    reason = "not ready" if record.status == "degraded" else UNFINISHED
    return f"{reason}: {record.problem}" if record.problem else reason


def _reboot(change: Change, record: Record, before: Node, after: Node, reason: str) -> list[Action]:
    shutdown = _change("shutdown", change, record, before, reason, "reboot")
    boot, *update = _boot(change, record, after, reason, "reboot")
    return [shutdown, replace(boot, after=(shutdown.key,)), *update]


def _boot(change: Change, record: Record, after: Node, reason: str, impact: Impact = "none") -> list[Action]:
    """Boot an existing node. Its disk may be the old one, on which only an update changes keys and members."""
    boot = _change("boot", change, record, after, reason, impact)
    if not any(FIELD_IMPACT[name] == "live" and name != "autostart" for name in change.fields):
        return [boot]
    return [boot, replace(_change("update", change, record, after, reason, "live"), after=(boot.key,))]


def _forget(record: Record) -> list[Action]:
    """Drop the record of a missing node that should be off; switching it on creates it."""
    reason = "unfinished and not at the site" if record.status == "pending" else "is gone from the site"
    return [Action(verb="clean", resource=record.resource, before=record.resource, reason=reason, generation=record.generation)]


def _allocation_actions(change: Change, after: Allocation, gone: frozenset[str], drift: Mapping[str, str]) -> list[Action]:
    record = change.before
    if record is None:
        return [Action(verb="allocate", resource=after, reason=NEW_CLUSTER, where=change.where)]
    if change.fields == ("protect",) and record.status == "ready" and change.address not in gone:
        return [_change("record", change, record, after, changed_fields_text(change.fields), "none")]
    reason = changed_fields_text(change.fields) if change.fields else UNFINISHED
    impact: Impact = "live" if change.fields else "none"
    return [_change("allocate", change, record, after, drift.get(change.address, reason), impact)]


def _volume_action(change: Change, after: Volume, refreshed: RefreshedState, drift: Mapping[str, str]) -> Action:
    record = change.before
    if record is None:
        reason = FOUND if change.address in refreshed.volumes else NEW
        return Action(verb="allocate", resource=after, reason=reason, where=change.where)
    if change.address in refreshed.gone:
        return _change("allocate", change, record, after, drift[change.address], "data-loss")
    reason = drift.get(change.address, changed_fields_text(change.fields) if change.fields else UNFINISHED)
    if record.status == "ready" and change.fields and "size_bytes" not in change.fields:
        return _change("record", change, record, after, reason, "none")
    return _change("allocate", change, record, after, reason, "live" if change.fields else "none")


def _image_actions(change: Change, after: StagedImage, drift: Mapping[str, str]) -> list[Action]:
    record = change.before
    renamed = bool(change.fields) and "site_image" not in change.fields
    if record is not None and renamed and record.status == "ready" and change.address not in drift:
        return [_change("record", change, record, after, changed_fields_text(change.fields), "none")]
    before = record.resource if record is not None else None
    unfinished = record is not None and record.status != "ready"
    reason = drift.get(change.address, UNFINISHED if unfinished else NOT_STAGED)
    return [Action(verb="stage", resource=after, before=before, reason=reason, where=change.where)]


def _change(verb: Verb, change: Change, record: Record, resource: Resource, reason: str, impact: Impact) -> Action:
    """Return an action on a recorded resource."""
    return Action(
        verb=verb,
        resource=resource,
        before=record.resource,
        reason=reason,
        generation=record.generation,
        impact=impact,
        where=change.where,
    )


def _ordered(found: list[Action], waits: Waits) -> tuple[Action, ...]:
    """Return ``found`` in reading order, with the dependencies between resources added."""
    keys = {action.key for action in found}
    dependencies = _Dependencies(found, waits)
    kept = {action.address for action in found if action.verb in ("boot", "update", "record")}
    complete = (replace(action, after=(*action.after, *dependencies.of(action, keys))) for action in found)
    return tuple(sorted(complete, key=lambda action: _reading_order(action, action.address in kept)))


class _Dependencies:
    """Keys of the actions that others of the same cluster or site depend on."""

    def __init__(self, found: list[Action], waits: Waits) -> None:
        self._waits = waits
        self._boots: dict[tuple[str, str, str], list[str]] = {}
        self._compute_shutdowns: dict[tuple[str, str], list[str]] = {}
        self._cleans: dict[tuple[str, str], list[str]] = {}
        self._image_users: dict[tuple[str, str], list[str]] = {}
        self._volume_users: dict[str, list[str]] = {}
        self._booted = {action.address: action.resource for action in found if action.verb == "boot"}
        for action in found:
            if isinstance(action.resource, Node):
                self._add(action, action.resource)

    def _add(self, action: Action, node: Node) -> None:
        cluster = (node.site, node.cluster)
        if action.verb in ("shutdown", "clean") and isinstance(action.before, Node):
            for name in action.before.volumes:
                self._volume_users.setdefault(f"{node.site}/volume/{name}", []).append(action.key)
        if action.verb == "shutdown" and node.role == "compute":
            self._compute_shutdowns.setdefault(cluster, []).append(action.key)
        elif action.verb == "clean":
            self._cleans.setdefault(cluster, []).append(action.key)
            before = action.before if isinstance(action.before, Node) else node
            self._image_users.setdefault((node.site, before.image), []).append(action.key)
        elif action.verb == "boot":
            self._boots.setdefault((*cluster, node.group_name), []).append(action.key)

    def of(self, action: Action, keys: set[str]) -> tuple[str, ...]:
        """Return the dependencies of ``action`` on other resources."""
        resource = action.resource
        if isinstance(resource, StagedImage):
            return tuple(self._image_users.get((resource.site, resource.digest), ())) if action.verb == "clean" else ()
        if isinstance(resource, Volume):
            return tuple(self._volume_users.get(resource.address, ())) if action.verb == "clean" else ()
        cluster = (resource.site, resource.cluster)
        if isinstance(resource, Allocation):
            return tuple(self._cleans.get(cluster, ())) if action.verb == "clean" else ()
        prerequisites = _boot_prerequisites(self._booted.get(action.address), keys)
        if action.verb == "boot":
            return (*prerequisites, *self._releases(resource), *self._awaited(resource))
        if action.verb == "clean":
            return prerequisites
        if action.verb == "shutdown":
            return (*prerequisites, *(self._compute_shutdowns.get(cluster, ()) if resource.role == "frontend" else ()))
        if action.verb != "update":
            return ()
        # The frontend is the way to the guests of the others.
        routes = self._boots_of(resource, "frontend") if resource.role == "compute" else ()
        return (*_volume_keys(resource, keys), *routes)

    def _releases(self, node: Node) -> tuple[str, ...]:
        """Return the shutdowns and cleans of other nodes that have used the volumes of ``node``."""
        addresses = (f"{node.site}/volume/{name}" for name in node.volumes)
        keys = (key for address in addresses for key in self._volume_users.get(address, ()))
        return tuple(key for key in keys if not key.endswith(f" {node.address}"))

    def _awaited(self, node: Node) -> tuple[str, ...]:
        """Return the boots of the sets of nodes that the set of ``node`` waits for."""
        awaited = self._waits.get((node.site, node.cluster, node.group_name), ())
        return tuple(key for name in awaited for key in self._boots_of(node, name))

    def _boots_of(self, node: Node, name: str) -> tuple[str, ...]:
        """Return the boots of the set called ``name`` in the cluster of ``node``."""
        return tuple(self._boots.get((node.site, node.cluster, name), ()))


def _boot_prerequisites(node: Resource | None, keys: set[str]) -> tuple[str, ...]:
    """Return the actions that must precede the boot of ``node``: staging its image, allocating its cluster's networks.

    The shutdown and clean of a rebooted node depend on them too: if one fails, the node stays as it is.
    """
    if not isinstance(node, Node):
        return ()
    prerequisites = (f"stage {node.site}/image/{node.image[:16]}", f"allocate {node.site}/{node.cluster}/allocation")
    return (*(key for key in prerequisites if key in keys), *_volume_keys(node, keys))


def _volume_keys(node: Node, keys: set[str]) -> tuple[str, ...]:
    """Return the allocations of the volumes of ``node``."""
    found = (f"allocate {node.site}/volume/{name}" for name in node.volumes)
    return tuple(key for key in found if key in keys)


_VERB_ORDER: dict[Verb, int] = {"stage": 0, "allocate": 1, "record": 2, "shutdown": 3, "clean": 4, "boot": 5, "update": 6}


def _reading_order(action: Action, kept: bool) -> tuple[object, ...]:
    """Return a sort key. Removed nodes are listed in the order of their removal: after kept nodes, the highest index first."""
    resource = action.resource
    if isinstance(resource, Node):
        is_compute = resource.role == "compute"
        by_role = (is_compute, resource.group, resource.index) if kept else (not is_compute, resource.group, -resource.index)
        return (2, resource.site, resource.cluster, not kept, *by_role, _VERB_ORDER[action.verb])
    removed = action.verb == "clean"
    if isinstance(resource, Allocation | Volume):
        return (3 if removed else 1, resource.site, resource.address)
    return (4 if removed else 0, resource.site, resource.name, resource.address)


def _as_node(record: Record) -> Node:
    if not isinstance(record.resource, Node):
        raise TypeError(record.address)
    return record.resource
