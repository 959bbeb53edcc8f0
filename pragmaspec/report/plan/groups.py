"""Groups the actions of a plan for reading: one entry per resource, one group per cluster, long runs folded."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import groupby

from msgspec.structs import replace

from pragmaspec.frozen import Frozen
from pragmaspec.planning.impact import worst_impact
from pragmaspec.planning.late.members import MEMBERS_LATER
from pragmaspec.planning.plan import Action, Impact, Plan
from pragmaspec.resources import Node, StagedImage

FOLD_FROM = 13
"""Minimum length of a run of similar entries to fold."""
_SHOWN_FIRST = 3


class ResourceActions(Frozen, frozen=True):
    """All actions of a plan on one resource, in order: a rebuild is ``shutdown, clean, boot``."""

    main: Action
    """The last action, which determines the result; except an update that completes a boot."""
    verbs: tuple[str, ...]
    impact: Impact
    """The worst impact of all actions."""
    discards: bool = False
    """True if further disks of the node are removed."""


class ClusterGroup(Frozen, frozen=True):
    """All actions on one cluster at one site; ``cluster`` "" holds images that no cluster of the plan needs."""

    site: str
    cluster: str
    entries: tuple[ResourceActions, ...]


class Fold(Frozen, frozen=True):
    """A number of omitted entries that are similar to their neighbours."""

    count: int


def actions_by_resource(actions: Iterable[Action]) -> list[ResourceActions]:
    """Return one entry per resource, in the order of their first actions."""
    found: dict[str, ResourceActions] = {}
    for action in actions:
        address = action.address
        earlier = found.get(address)
        if earlier is None:
            found[address] = ResourceActions(
                main=action, verbs=(action.verb,), impact=action.impact, discards=bool(action.discards)
            )
        else:
            impact = worst_impact((earlier.impact, action.impact))
            found[address] = ResourceActions(
                main=earlier.main if _completes(action, earlier.main) else action,
                verbs=(*earlier.verbs, action.verb),
                impact=impact,
                discards=earlier.discards or bool(action.discards),
            )
    return list(found.values())


def groups_by_cluster(entries: Sequence[ResourceActions], plan: Plan) -> tuple[ClusterGroup, ...]:
    """Return ``entries`` by cluster, in the order of their first actions; an image is in the group that needs it first."""
    owners = _image_owners(plan)
    found: defaultdict[tuple[str, str], list[ResourceActions]] = defaultdict(list)
    for entry in entries:
        resource = entry.main.resource
        cluster = owners.get(entry.main.key, "") if isinstance(resource, StagedImage) else resource.cluster
        found[resource.site, cluster].append(entry)
    return tuple(
        ClusterGroup(site=site, cluster=cluster, entries=tuple(_by_verbs(group))) for (site, cluster), group in found.items()
    )


def folded(entries: Sequence[ResourceActions], *, everything: bool) -> list[ResourceActions | Fold]:
    """Return ``entries`` with long runs of similar ones cut to the first three, a fold, and the last."""
    if everything:
        return list(entries)
    shown: list[ResourceActions | Fold] = []
    for run in (list(similar) for _, similar in groupby(entries, key=_appearance)):
        if len(run) < FOLD_FROM:
            shown += run
        else:
            shown += run[:_SHOWN_FIRST]
            shown.append(Fold(count=len(run) - _SHOWN_FIRST - 1))
            shown.append(run[-1])
    return shown


def _completes(action: Action, earlier: Action) -> bool:
    """True if ``action`` is the update of a new node, or one with members that are known after apply."""
    return action.reason == MEMBERS_LATER or (action.verb == "update" and earlier.before is None)


def _image_owners(plan: Plan) -> dict[str, str]:
    """Return the cluster of each image action: the first that depends on it, else the first that it depends on."""
    images = [action for action in plan.actions if isinstance(action.resource, StagedImage)]
    owners: dict[str, str] = {}
    if not images:
        return owners
    keys = {action.key for action in images}
    for action in plan.actions:
        if len(owners) == len(keys):
            break  # usually after a few of perhaps 10,000 actions
        if not isinstance(action.resource, StagedImage):
            for key in keys.intersection(action.after):
                owners.setdefault(key, action.resource.cluster)
    dependencies = {key: action.key for action in images if action.key not in owners for key in action.after}
    if dependencies:
        for action in plan.actions:
            image = dependencies.get(action.key)
            if image is not None and not isinstance(action.resource, StagedImage):
                owners.setdefault(image, action.resource.cluster)
    return owners


def _by_verbs(entries: Iterable[ResourceActions]) -> Iterable[ResourceActions]:
    by_verbs: defaultdict[tuple[str, ...], list[ResourceActions]] = defaultdict(list)
    for entry in entries:
        by_verbs[entry.verbs].append(entry)
    return (entry for group in by_verbs.values() for entry in group)


def _appearance(entry: ResourceActions) -> object:
    """Return a key that is equal for entries whose lines differ only in name and addresses."""
    action = entry.main
    resource, before = action.resource, action.before
    return (
        entry.verbs,
        action.impact,
        action.reason,
        action.where.line if action.where else 0,
        _node_appearance(resource) if isinstance(resource, Node) else resource.address,
        _node_appearance(before) if isinstance(before, Node) else before,
    )


def _node_appearance(node: Node) -> object:
    return (
        node.group_name,
        node.cpus,
        node.memory_mib,
        node.disk_bytes,
        node.image,
        node.running,
        node.protect,
        node.autostart,
        node.firmware,
        node.first_boot,
        node.keys,
        node.peers,
        len(node.nics),
        node.flavor,
        node.requested,
        node.cpu,
        tuple(device.alias for device in node.devices),
        len(node.pinned),
        tuple(replace(disk, volume=str(bool(disk.volume))) for disk in node.disks),
    )
