"""What a plan may not do unless it is allowed by name."""

from collections.abc import Iterable, Sequence
from typing import Literal, get_args

from pragmaspec.errors import Problem
from pragmaspec.planning.plan import Action, Plan
from pragmaspec.resources import Allocation, Node, Resource, StagedImage
from pragmaspec.text import joined

Allowance = Literal["rebuild", "data-loss", "protected"]
ALLOWANCES: tuple[str, ...] = get_args(Allowance)
_NAMED = 3


def refusals(plan: Plan, allow: frozenset[str]) -> tuple[Problem, ...]:
    """Why ``plan`` must not be applied with only ``allow`` allowed; empty: it may be.

    What the command itself named is meant. Protection counts as recorded: taking ``protect: true`` out of the spec together with
    the cluster does not lift it.
    """
    found: list[Problem] = []
    unnamed = [action for action in plan.actions if not named_by_command(plan, action.resource)]
    rebuilt = [action for action in unnamed if action.impact == "rebuild" and action.verb == "clean"]
    lost = [action for action in unnamed if action.impact == "data-loss" and action.verb == "clean"]
    left = [action for action in unnamed if action.loses]
    protected = [action for action in plan.actions if _breaks_protection(action)]
    if rebuilt and "rebuild" not in allow:
        found.append(
            _refusal("The plan rebuilds nodes", rebuilt, "made anew from the image; what is on the disk is lost", "rebuild")
        )
    if lost and "data-loss" not in allow:
        found.append(_refusal("The plan removes nodes", lost, "removed with the disk", "data-loss"))
    if left and "data-loss" not in allow:
        found.append(_losing(left))
    if protected and "protected" not in allow:
        found.append(
            _refusal(
                "The plan touches what is protected",
                protected,
                "protected, and would be rebuilt or removed. Set `protect: false` and apply that first",
                "protected",
            )
        )
    return tuple(found)


def _losing(actions: Sequence[Action]) -> Problem:
    """The refusal to lose data beside the disks of nodes, with the way to keep it, once."""
    named = "; ".join(f"{_name(action)} would lose {joined(action.loses)}" for action in actions[:_NAMED])
    more = f"; and {len(actions) - _NAMED:,} more nodes" if len(actions) > _NAMED else ""
    remedy = next((action.remedy for action in actions if action.remedy), "")
    return Problem(
        summary="The plan loses what is in snapshots",
        detail=f"{named}{more}: what was written there since is in no recorded disk. "
        f"{f'To keep it: {remedy}. ' if remedy else ''}If it is meant to be lost, say `--allow data-loss`.",
    )


def _breaks_protection(action: Action) -> bool:
    return action.verb == "clean" and isinstance(action.before, (Allocation, Node)) and action.before.protect


def named_by_command(plan: Plan, resource: Resource) -> bool:
    """True if the command that made ``plan`` named ``resource`` or its cluster, which is consent to lose its disk."""
    return resource.address in plan.replaced or (not isinstance(resource, StagedImage) and resource.cluster in plan.named)


def _refusal(summary: str, actions: Iterable[Action], fate: str, allowance: Allowance) -> Problem:
    named = joined([_name(action) for action in actions])
    return Problem(summary=summary, detail=f"{named}: {fate}. If that is meant, say `--allow {allowance}`.")


def _name(action: Action) -> str:
    resource = action.resource
    return resource.name if isinstance(resource, Node) else resource.address
