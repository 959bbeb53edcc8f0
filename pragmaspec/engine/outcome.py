"""What is said when a plan was not done completely. Pure."""

from collections.abc import Sequence
from typing import NamedTuple

from msgspec.structs import replace

from pragmaspec.engine.interrupt import begun
from pragmaspec.errors import ApplyIncompleteError, InterruptedRunError, PragmaspecError, Problem, SiteConflictError
from pragmaspec.planning.plan import Action
from pragmaspec.planning.safety import few
from pragmaspec.recorded import Node


class Failure(NamedTuple):
    """An action that failed, and why."""

    action: Action
    error: PragmaspecError


def incomplete(
    failures: Sequence[Failure], skipped: Sequence[Action], unwritable: PragmaspecError | None = None
) -> ApplyIncompleteError:
    """Every failure with the node and the verb it belongs to, and what was not started because of them."""
    problems = [problem for failure in failures for problem in _problems(failure)]
    problems += unwritable.problems if unwritable else ()
    if skipped:
        problems.append(Problem(summary="Not started", detail=f"{_names(skipped)}: what they wait for is not done."))
    return ApplyIncompleteError(*problems)


def interrupted(signal: str, unknown: int, not_started: Sequence[Action], failures: Sequence[Failure]) -> InterruptedRunError:
    """What a signal left behind."""
    parts = [f"Stopped by {signal}."]
    if not_started:
        parts.append(f"Not started: {_names(not_started)}.")
    if unknown:
        parts.append(begun(unknown))
    parts.append("Everything else is recorded; the next apply continues.")
    problems = [problem for failure in failures for problem in _problems(failure)]
    return InterruptedRunError(Problem(summary="The run was interrupted", detail=" ".join(parts)), *problems)


def thing(action: Action) -> str:
    """What an action is about, as people call it: a node's name, an image's, a cluster's."""
    resource = action.resource
    return resource.cluster if not isinstance(resource, Node) and hasattr(resource, "cluster") else resource.name


def _problems(failure: Failure) -> tuple[Problem, ...]:
    action, error = failure
    hint = ""
    if isinstance(error, SiteConflictError):
        hint = " Somebody else was quicker. Run `pragmaspec plan` again: it sees what is taken now and chooses something else."
    return tuple(
        replace(
            problem,
            detail=f"{action.verb} {thing(action)} at site {action.resource.site}: {problem.detail or problem.summary}{hint}",
            where=problem.where or action.where,
        )
        for problem in error.problems
    )


def _names(actions: Sequence[Action]) -> str:
    return few([f"{action.verb} {thing(action)}" for action in actions])
