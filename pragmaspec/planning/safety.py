"""Refuses plans that lose data or remove protected resources without consent."""

from collections.abc import Iterable, Sequence
from typing import Literal, get_args

from pragmaspec.errors import Problem
from pragmaspec.planning.plan import Action, Plan
from pragmaspec.resources import Allocation, Node, Resource, StagedImage, Volume
from pragmaspec.text import joined

Allowance = Literal["rebuild", "data-loss", "protected"]
ALLOWANCES: tuple[str, ...] = get_args(Allowance)
_NAMED = 3


def refusals(plan: Plan, allow: frozenset[str]) -> tuple[Problem, ...]:
    """Return the reasons not to apply ``plan`` with only ``allow`` allowed.

    Resources that the command names need no other consent, unless they are protected. Protection counts as recorded: removing
    ``protect: true`` from the spec together with the cluster does not lift it.
    """
    unnamed = [action for action in plan.actions if not named_by_command(plan, action.resource)]
    rebuilt = [action for action in unnamed if action.impact == "rebuild" and action.verb == "clean"]
    removed = [action for action in unnamed if _removes_node(action)]
    volumes = [action for action in plan.actions if isinstance(action.resource, Volume) and action.impact == "data-loss"]
    losing = [action for action in unnamed if action.loses]
    discarding = [action for action in unnamed if action.discards]
    protected = [action for action in plan.actions if _breaks_protection(action)]
    found: list[Problem] = []
    if rebuilt and "rebuild" not in allow:
        consequence = "rebuilt from the image; the data on the disk is lost."
        found.append(_refusal("The plan rebuilds nodes", _names(rebuilt), consequence, "rebuild"))
    if removed and "data-loss" not in allow:
        found.append(_refusal("The plan removes nodes", _names(removed), "removed together with the disk.", "data-loss"))
    if volumes and "data-loss" not in allow:
        found += _volume_refusals(volumes, plan)
    if losing and "data-loss" not in allow:
        found.append(_snapshot_refusal(losing))
    if discarding and "data-loss" not in allow:
        found.append(_disk_refusal(discarding))
    if protected and "protected" not in allow:
        consequence = "protected, but rebuilt or removed. Set `protect: false` and apply that first."
        found.append(_refusal("The plan removes protected resources", _names(protected), consequence, "protected"))
    return tuple(found)


def named_by_command(plan: Plan, resource: Resource) -> bool:
    """True if the command named ``resource`` or its cluster, which is consent to lose its disk, but never a volume."""
    return resource.address in plan.replaced or (
        not isinstance(resource, StagedImage | Volume) and resource.cluster in plan.named
    )


def _refusal(summary: str, names: Sequence[str], consequence: str, allowance: Allowance) -> Problem:
    return Problem(summary=summary, detail=f"{joined(names)}: {consequence} Pass `--allow {allowance}` if this is intended.")


def _snapshot_refusal(actions: Sequence[Action]) -> Problem:
    losses = "; ".join(f"{_name(action)} would lose {joined(action.loses)}" for action in actions[:_NAMED])
    more = f"; and {len(actions) - _NAMED:,} more nodes" if len(actions) > _NAMED else ""
    remedy = next((action.remedy for action in actions if action.remedy), "")
    return Problem(
        summary="The plan discards snapshots",
        detail=f"{losses}{more}: the recorded disks lack the data written since. "
        f"{f'To keep it: {remedy}. ' if remedy else ''}Pass `--allow data-loss` if the loss is intended.",
    )


def _removes_node(action: Action) -> bool:
    return action.impact == "data-loss" and action.verb == "clean" and not isinstance(action.resource, Volume)


def _volume_refusals(actions: Sequence[Action], plan: Plan) -> list[Problem]:
    def names(actions: Sequence[Action]) -> list[str]:
        return [volume_text(action.resource, plan) for action in actions]

    removed = [action for action in actions if action.verb == "clean"]
    lost = [action for action in actions if action.verb != "clean"]
    found = []
    if removed:
        found.append(_refusal("The plan removes volumes", names(removed), "removed with all data.", "data-loss"))
    if lost:
        consequence = (
            "gone from the site, with all data, and created anew, empty. If the data still exists, restore the volume first."
        )
        found.append(_refusal("The plan creates lost volumes anew", names(lost), consequence, "data-loss"))
    return found


def _disk_refusal(actions: Sequence[Action]) -> Problem:
    losses = "; ".join(f"{_name(action)} would lose {disks_text(action.discards)}" for action in actions[:_NAMED])
    more = f"; and {len(actions) - _NAMED:,} more nodes" if len(actions) > _NAMED else ""
    return Problem(
        summary="The plan removes disks",
        detail=f"{losses}{more}, with all data. Pass `--allow data-loss` if this is intended.",
    )


def disks_text(names: Sequence[str]) -> str:
    """Return ``disk scratch``, ``disks scratch and home``."""
    return f"{'disk' if len(names) == 1 else 'disks'} {joined(names)}"


def _breaks_protection(action: Action) -> bool:
    removes = action.verb == "clean" or bool(action.discards)
    return removes and isinstance(action.before, (Allocation, Node)) and action.before.protect


def volume_text(volume: Resource, plan: Plan) -> str:
    """Return ``volume home``, or ``volume home at lab`` in a plan for several sites, which may have volumes of one name."""
    name = volume.address.rpartition("/")[2]
    return f"volume {name} at {volume.site}" if len(plan.sites) > 1 else f"volume {name}"


def _names(actions: Iterable[Action]) -> list[str]:
    return [_name(action) for action in actions]


def _name(action: Action) -> str:
    return action.resource.name if isinstance(action.resource, Node) else action.address
