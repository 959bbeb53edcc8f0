"""The errors of an apply that did not complete. Pure."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from msgspec.structs import replace

from pragmaspec.engine.signals import unknown_outcomes_sentence
from pragmaspec.errors import ApplyIncompleteError, InterruptedRunError, PragmaspecError, Problem, SiteConflictError
from pragmaspec.planning.plan import Action
from pragmaspec.planning.wanted import Wanted, WantedCluster
from pragmaspec.report.plan.rows import display_name
from pragmaspec.resources import Allocation
from pragmaspec.text import joined


class Failure(NamedTuple):
    """A failed action and its error."""

    action: Action
    error: PragmaspecError


def incomplete_error(
    failures: Sequence[Failure],
    skipped: Sequence[Action],
    unwritable: PragmaspecError | None = None,
    wanted: Wanted | None = None,
) -> ApplyIncompleteError:
    """Return an error with every failure, each with its verb and resource, and with the skipped actions.

    ``wanted``: the spec, to advise on values that it fixes.
    """
    problems = [problem for failure in failures for problem in _problems(failure, wanted)]
    problems += unwritable.problems if unwritable else ()
    if skipped:
        problems.append(Problem(summary="Not started", detail=f"{_names(skipped)}: their dependencies are not done."))
    return ApplyIncompleteError.of(problems)


def interrupted_error(
    signal: str, unknown: int, not_started: Sequence[Action], failures: Sequence[Failure], wanted: Wanted | None = None
) -> InterruptedRunError:
    """Return the error of a run that ``signal`` stopped with ``unknown`` operations in flight."""
    parts = [f"Stopped by {signal}."]
    if not_started:
        parts.append(f"Not started: {_names(not_started)}.")
    if unknown:
        parts.append(unknown_outcomes_sentence(unknown))
    parts.append("Everything else is recorded; the next apply continues.")
    problems = [problem for failure in failures for problem in _problems(failure, wanted)]
    return InterruptedRunError.of([Problem(summary="The run was interrupted", detail=" ".join(parts)), *problems])


def _problems(failure: Failure, wanted: Wanted | None) -> tuple[Problem, ...]:
    action, error = failure
    resource = action.resource
    lost_race = isinstance(error, SiteConflictError) and isinstance(resource, Allocation)
    cluster = wanted.cluster(resource.cluster) if wanted is not None and isinstance(resource, Allocation) else None
    return tuple(
        replace(
            problem,
            detail=f"{action.verb} {display_name(resource)} at site {resource.site}: {problem.detail or problem.summary}"
            + (_advice_after_lost_race(problem, cluster) if lost_race else ""),
            where=problem.where or action.where,
        )
        for problem in error.problems
    )


def _advice_after_lost_race(problem: Problem, cluster: WantedCluster | None) -> str:
    """Advice after a claim of another stack came first: there is no alternative for a value that the spec fixes."""
    fixed = [
        label
        for value, label in _fixed_values(cluster)
        if re.search(rf"(?<![\d./]){re.escape(value)}(?![\d./]*\d)", problem.detail)
    ]
    if fixed:
        return (
            f" Another claim came first. The spec names {joined(fixed)}, so that no other can be chosen: wait until it is free, "
            "name another, or leave it out to get the first free one."
        )
    return " Another claim came first. Run `pragmaspec plan` again: it sees what is taken now and chooses another."


def _fixed_values(cluster: WantedCluster | None) -> list[tuple[str, str]]:
    """The networks and addresses that the spec fixes for a cluster: each value with its label in messages."""
    if cluster is None:
        return []
    found = [(str(cluster.vlan), f"VLAN {cluster.vlan}")] if cluster.vlan is not None else []
    found += [(cluster.public.address, f"address {cluster.public.address}")] if cluster.public.address else []
    cidrs = (cluster.cidr, *(network.cidr for network in cluster.networks))
    return found + [(cidr, f"range {cidr}") for cidr in cidrs if cidr]


def _names(actions: Sequence[Action]) -> str:
    return joined([f"{action.verb} {display_name(action.resource)}" for action in actions])
