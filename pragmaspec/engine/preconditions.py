"""A plan is done only while what it was computed from still holds."""

from collections.abc import Mapping

from pragmaspec.errors import PlanRefusedError, Problem
from pragmaspec.planning.plan import Plan
from pragmaspec.planning.planner import state_digest
from pragmaspec.planning.wanted import Wanted
from pragmaspec.providers.base import Provider
from pragmaspec.state_model import State

_AGAIN = "Plan again and look at the new plan. Nothing was changed."


def check_preconditions(plan: Plan, state: State, wanted: Wanted, providers: Mapping[str, Provider]) -> None:
    """Raise PlanRefusedError, with every reason, unless ``plan`` was made from this state, this spec and these very sites."""
    problems = [*_state_problems(plan, state), *_spec_problems(plan, wanted)]
    if not problems:
        problems = _site_problems(plan, providers)
    if problems:
        raise PlanRefusedError.of(problems)


def _state_problems(plan: Plan, state: State) -> list[Problem]:
    if plan.lineage != state.lineage:
        detail = f"The plan was made for the stack {plan.lineage}, but this state belongs to the stack {state.lineage}. {_AGAIN}"
        return [Problem(summary="The plan belongs to another stack", detail=detail)]
    if (plan.serial, plan.state_sha256) != (state.serial, state_digest(state)):
        detail = (
            f"The plan was made from the recorded state number {plan.serial}; something was applied since (it is number "
            f"{state.serial} now). {_AGAIN}"
        )
        return [Problem(summary="The plan is stale", detail=detail)]
    return []


def _spec_problems(plan: Plan, wanted: Wanted) -> list[Problem]:
    if plan.spec_sha256 == wanted.spec_sha256:
        return []
    detail = f"{plan.spec_file}, or a file that it reads, has changed since the plan was made. {_AGAIN}"
    return [Problem(summary="The plan is stale", detail=detail)]


def _site_problems(plan: Plan, providers: Mapping[str, Provider]) -> list[Problem]:
    """Sites that are not the ones that were asked when the plan was made."""
    needed = {action.resource.site for action in plan.actions}
    found: list[Problem] = []
    for planned in plan.sites:
        name = planned.site.name
        if planned.identity is None or name not in needed:
            continue
        identity = providers[name].identity()
        if identity.id != planned.identity.id:
            detail = (
                f"The plan was made with site {name} being {planned.identity.title} ({planned.identity.id}); what answers now is "
                f"{identity.title} ({identity.id}). {_AGAIN}"
            )
            found.append(Problem(summary="A site is not the one that was planned for", detail=detail))
    return found
