"""The actions of a plan as a reader wants them: one line per resource, one group per cluster, long runs folded."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import groupby

from pragmaspec.frozen import Frozen
from pragmaspec.planning.impact import worst_impact
from pragmaspec.planning.plan import Action, Impact, Plan
from pragmaspec.resources import Node, StagedImage

FOLD_FROM = 13
"""Runs of like lines up to 12 are shown whole."""
_SHOWN_FIRST = 3


class ResourceActions(Frozen, frozen=True):
    """Everything the plan does to one resource, in order: ``shutdown, clean, boot`` of a node is one line for a reader.

    ``main`` is the last action, which says what comes out of it; ``impact`` is the worst of all.
    """

    main: Action
    verbs: tuple[str, ...]
    impact: Impact


class ClusterGroup(Frozen, frozen=True):
    """What happens to one cluster at one site; ``cluster`` "" holds images that no cluster of this plan needs."""

    site: str
    cluster: str
    entries: tuple[ResourceActions, ...]


class Fold(Frozen, frozen=True):
    """Stands for entries that look like the one before."""

    count: int


def actions_by_resource(actions: Iterable[Action]) -> list[ResourceActions]:
    """One entry per resource, in the order in which the plan first names each."""
    found: dict[str, ResourceActions] = {}
    for action in actions:
        address = action.address
        earlier = found.get(address)
        if earlier is None:
            found[address] = ResourceActions(main=action, verbs=(action.verb,), impact=action.impact)
        else:
            impact = worst_impact((earlier.impact, action.impact))
            found[address] = ResourceActions(main=action, verbs=(*earlier.verbs, action.verb), impact=impact)
    return list(found.values())


def groups_by_cluster(listed: Sequence[ResourceActions], plan: Plan) -> tuple[ClusterGroup, ...]:
    """The plan's entries by cluster, in the order in which the plan first names each; an image goes with who needs it first."""
    owners = _image_owners(plan)
    found: defaultdict[tuple[str, str], list[ResourceActions]] = defaultdict(list)
    for entry in listed:
        resource = entry.main.resource
        cluster = owners.get(entry.main.key, "") if isinstance(resource, StagedImage) else resource.cluster
        found[resource.site, cluster].append(entry)
    return tuple(
        ClusterGroup(site=site, cluster=cluster, entries=tuple(_verbs_together(together)))
        for (site, cluster), together in found.items()
    )


def folded(listed: Sequence[ResourceActions], *, everything: bool) -> list[ResourceActions | Fold]:
    """The entries with long runs of like ones cut to the first three, a fold, and the last."""
    if everything:
        return list(listed)
    shown: list[ResourceActions | Fold] = []
    for run in (list(alike) for _, alike in groupby(listed, key=_look)):
        if len(run) < FOLD_FROM:
            shown += run
        else:
            shown += run[:_SHOWN_FIRST]
            shown.append(Fold(count=len(run) - _SHOWN_FIRST - 1))
            shown.append(run[-1])
    return shown


def _image_owners(plan: Plan) -> dict[str, str]:
    """The cluster to show each image action with: the first that waits for it, else the first that it waits for."""
    images = [action for action in plan.actions if isinstance(action.resource, StagedImage)]
    owners: dict[str, str] = {}
    if not images:
        return owners
    keys = {action.key for action in images}
    for action in plan.actions:
        if len(owners) == len(keys):
            break  # as a rule after a few of perhaps 10,000 actions
        if not isinstance(action.resource, StagedImage):
            for key in keys.intersection(action.after):
                owners.setdefault(key, action.resource.cluster)
    waited = {key: action.key for action in images if action.key not in owners for key in action.after}
    if waited:
        for action in plan.actions:
            image = waited.get(action.key)
            if image is not None and not isinstance(action.resource, StagedImage):
                owners.setdefault(image, action.resource.cluster)
    return owners


def _verbs_together(listed: Iterable[ResourceActions]) -> Iterable[ResourceActions]:
    by_verbs: defaultdict[tuple[str, ...], list[ResourceActions]] = defaultdict(list)
    for entry in listed:
        by_verbs[entry.verbs].append(entry)
    return (entry for together in by_verbs.values() for entry in together)


def _look(entry: ResourceActions) -> object:
    """Equal for entries whose lines would differ only in name and addresses."""
    action = entry.main
    resource, before = action.resource, action.before
    return (
        entry.verbs,
        action.impact,
        action.reason,
        action.where.line if action.where else 0,
        _node_look(resource) if isinstance(resource, Node) else resource.address,
        _node_look(before) if isinstance(before, Node) else before,
    )


def _node_look(node: Node) -> object:
    return (
        node.role,
        node.cpus,
        node.memory_mib,
        node.disk_bytes,
        node.image,
        node.running,
        node.protect,
        node.autostart,
        node.first_boot,
        node.keys,
        node.peers,
        len(node.nics),
    )
