"""What is said when a plan was not done completely. Pure."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from msgspec.structs import replace

from pragmaspec.engine.signals import unknown_outcomes_sentence
from pragmaspec.errors import ApplyIncompleteError, InterruptedRunError, PragmaspecError, Problem, SiteConflictError
from pragmaspec.planning.plan import Action
from pragmaspec.planning.wanted import Wanted, WantedCluster
from pragmaspec.resources import Allocation, Node
from pragmaspec.text import joined


class Failure(NamedTuple):
    """An action that failed, and why."""

    action: Action
    error: PragmaspecError


def incomplete_error(
    failures: Sequence[Failure],
    skipped: Sequence[Action],
    unwritable: PragmaspecError | None = None,
    wanted: Wanted | None = None,
) -> ApplyIncompleteError:
    """Every failure with the node and the verb it belongs to, and what was not started because of them.

    ``wanted`` tells what the spec names, so that no other can be chosen in its place.
    """
    problems = [problem for failure in failures for problem in _problems(failure, wanted)]
    problems += unwritable.problems if unwritable else ()
    if skipped:
        problems.append(Problem(summary="Not started", detail=f"{_names(skipped)}: what they wait for is not done."))
    return ApplyIncompleteError.of(problems)


def interrupted_error(
    signal: str, unknown: int, not_started: Sequence[Action], failures: Sequence[Failure], wanted: Wanted | None = None
) -> InterruptedRunError:
    """What a signal left behind."""
    parts = [f"Stopped by {signal}."]
    if not_started:
        parts.append(f"Not started: {_names(not_started)}.")
    if unknown:
        parts.append(unknown_outcomes_sentence(unknown))
    parts.append("Everything else is recorded; the next apply continues.")
    problems = [problem for failure in failures for problem in _problems(failure, wanted)]
    return InterruptedRunError.of([Problem(summary="The run was interrupted", detail=" ".join(parts)), *problems])


def subject_name(action: Action) -> str:
    """What an action is about, as people call it: a node's name, an image's, a cluster's."""
    resource = action.resource
    return resource.cluster if not isinstance(resource, Node) and hasattr(resource, "cluster") else resource.name


def _problems(failure: Failure, wanted: Wanted | None) -> tuple[Problem, ...]:
    action, error = failure
    raced = isinstance(error, SiteConflictError) and isinstance(action.resource, Allocation)
    cluster = wanted.cluster(action.resource.cluster) if wanted is not None and isinstance(action.resource, Allocation) else None
    return tuple(
        replace(
            problem,
            detail=f"{action.verb} {subject_name(action)} at site {action.resource.site}: {problem.detail or problem.summary}"
            + (_after_race(problem, cluster) if raced else ""),
            where=problem.where or action.where,
        )
        for problem in error.problems
    )


def _after_race(problem: Problem, cluster: WantedCluster | None) -> str:
    """Advice after another claim came first: a value that the spec fixes has no alternative."""
    fixed = [
        words for value, words in _fixed(cluster) if re.search(rf"(?<![\d./]){re.escape(value)}(?![\d./]*\d)", problem.detail)
    ]
    if fixed:
        return (
            f" Somebody else was quicker. The spec names {joined(fixed)}, so that no other can be chosen: wait until it is given "
            "back, name another, or leave it out to get the first free one."
        )
    return " Somebody else was quicker. Run `pragmaspec plan` again: it sees what is taken now and chooses something else."


def _fixed(cluster: WantedCluster | None) -> list[tuple[str, str]]:
    """The networks and addresses that the spec fixes for a cluster: each value with its name in messages."""
    if cluster is None:
        return []
    found = [(str(cluster.vlan), f"VLAN {cluster.vlan}")] if cluster.vlan is not None else []
    found += [(cluster.public.address, f"address {cluster.public.address}")] if cluster.public.address else []
    cidrs = (cluster.cidr, *(network.cidr for network in cluster.networks))
    return found + [(cidr, f"range {cidr}") for cidr in cidrs if cidr]


def _names(actions: Sequence[Action]) -> str:
    return joined([f"{action.verb} {subject_name(action)}" for action in actions])
