"""What the sites show when an apply begins, held against the plan and against the records. Pure."""

from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from typing import NamedTuple

from pragmaspec.engine.recovery import AS_IT_IS, Ruling, rule_allocation, rule_chosen, rule_made
from pragmaspec.engine.work import Seen
from pragmaspec.errors import PlanRefusedError, PragmaspecError, Problem
from pragmaspec.planning.fingerprint import changed_since
from pragmaspec.planning.observed import Observations, ObservedNode
from pragmaspec.planning.plan import Action, Plan
from pragmaspec.planning.sighting import as_made
from pragmaspec.providers.base import Provider
from pragmaspec.recorded import Allocation, Node, Record, State

_SHOWN = 8

Records = Callable[[str], Record | None]
"""The record of an address."""


class Look(NamedTuple):
    """What the sites have shown, and why some have not."""

    seen: Mapping[str, Observations]
    failed: Mapping[str, PragmaspecError]


def looked(found: Mapping[str, Seen], state: State) -> Look:
    """``found`` sorted out; what has moved since it was made goes by the address that it was made under."""
    seen = {name: as_made(each, state) for name, each in found.items() if isinstance(each, Observations)}
    return Look(seen, {name: each for name, each in found.items() if isinstance(each, PragmaspecError)})


def refuse_changed(plan: Plan, state: State, seen: Mapping[str, Observations]) -> None:
    """Raise PlanRefusedError when an object that ``plan`` touches is not as it was when the plan was made."""
    asked = {each.site.name for each in plan.sites if each.identity is not None}
    now = {name: each for name, each in seen.items() if name in asked}
    changed = changed_since(plan.fingerprints, plan.actions, state, now) if plan.fingerprints is not None else ()
    if changed:
        more = f" and {len(changed) - _SHOWN} more" if len(changed) > _SHOWN else ""
        raise PlanRefusedError(
            Problem(
                summary="The sites have changed since the plan was made",
                detail=f"{', '.join(changed[:_SHOWN])}{more}: not as it was when the plan was made. Plan again and look at the "
                "new plan. Nothing was changed.",
            )
        )


def rulings(
    actions: Iterable[Action],
    records: Records,
    look: Look,
    providers: Mapping[str, Provider],
    closed: AbstractSet[str],
    *,
    waited: bool,
) -> dict[str, Ruling]:
    """By address, what the records that ``actions`` start from must be, where they may not stay as they are."""
    nodes: dict[str, list[ObservedNode]] = {}
    for seen in look.seen.values():
        for node in seen.nodes:
            nodes.setdefault(node.address, []).append(node)
    allocations = {granted.address: granted for seen in look.seen.values() for granted in seen.allocations}
    found: dict[str, Ruling] = {}
    done: set[str] = set()
    for action in actions:
        address, site = action.address, action.resource.site
        if action.verb in ("record", "update") or address in done or site not in look.seen:
            continue
        done.add(address)
        record = records(address)
        made_as = record.made_as if record else address
        ruling = AS_IT_IS
        if isinstance(action.resource, Allocation):
            ruling = rule_allocation(record, allocations.get(made_as))
        elif isinstance(action.resource, Node):
            there, kind = nodes.get(made_as, []), providers[site].identity_kind
            if kind == "ident":
                ruling = rule_chosen(action, record, there, closed)
            else:
                ruling = rule_made(action, record, there, closed, kind, waited=waited)
        if ruling != AS_IT_IS:
            found[address] = ruling
    return found
