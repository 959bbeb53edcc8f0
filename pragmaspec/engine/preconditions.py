"""Checks that a plan still matches the state, the spec and the sites it was computed from."""

from collections.abc import Mapping

from pragmaspec.errors import PlanRefusedError, Problem
from pragmaspec.planning.plan import Plan
from pragmaspec.planning.planner import state_digest
from pragmaspec.planning.wanted import Wanted
from pragmaspec.providers.base import Provider
from pragmaspec.state_model import State

_PLAN_AGAIN = "Plan again and review the new plan. Nothing was changed."


def check_preconditions(plan: Plan, state: State, wanted: Wanted, providers: Mapping[str, Provider]) -> None:
    """Raise PlanRefusedError with every mismatch unless ``plan`` was made from this state, this spec and these sites."""
    problems = [*_state_problems(plan, state), *_spec_problems(plan, wanted)]
    if not problems:
        problems = _site_problems(plan, providers)
    if problems:
        raise PlanRefusedError.of(problems)


def _state_problems(plan: Plan, state: State) -> list[Problem]:
    if plan.lineage != state.lineage:
        detail = f"The plan is for stack {plan.lineage}, but this state belongs to stack {state.lineage}. {_PLAN_AGAIN}"
        return [Problem(summary="The plan belongs to another stack", detail=detail)]
    if (plan.serial, plan.state_sha256) != (state.serial, state_digest(state)):
        detail = (
            f"The plan was made from state serial {plan.serial}, but the state has changed since: its serial is now "
            f"{state.serial}. {_PLAN_AGAIN}"
        )
        return [Problem(summary="The plan is stale", detail=detail)]
    return []


def _spec_problems(plan: Plan, wanted: Wanted) -> list[Problem]:
    if plan.spec_sha256 == wanted.spec_sha256:
        return []
    detail = f"{plan.spec_file}, or a file that it reads, has changed since the plan was made. {_PLAN_AGAIN}"
    return [Problem(summary="The plan is stale", detail=detail)]


def _site_problems(plan: Plan, providers: Mapping[str, Provider]) -> list[Problem]:
    """One problem per site whose identity differs from the planned one."""
    needed = {action.resource.site for action in plan.actions}
    problems: list[Problem] = []
    for planned in plan.sites:
        name = planned.site.name
        if planned.identity is None or name not in needed:
            continue
        identity = providers[name].identity()
        if identity.id != planned.identity.id:
            detail = (
                f"When the plan was made, site {name} was {planned.identity.title} ({planned.identity.id}); now it is "
                f"{identity.title} ({identity.id}). {_PLAN_AGAIN}"
            )
            problems.append(Problem(summary="Site identity changed", detail=detail))
    return problems
