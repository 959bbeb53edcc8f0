"""What ``boot``, ``shutdown`` and ``clean`` of one cluster ask of planning, and when they are refused."""

from typing import TYPE_CHECKING

from pragmaspec.errors import PlanRefusedError, Problem, UsageError
from pragmaspec.planning.request import PlanRequest
from pragmaspec.resources import Node, StagedImage
from pragmaspec.state_model import State
from pragmaspec.text import joined

if TYPE_CHECKING:
    from pragmaspec.planning.plan import Plan
    from pragmaspec.stack.planning import Planner, ReadablePlan


NO_CLUSTER_DETAILS: frozenset[str] = frozenset()
"""The need of these verbs: the clusters and sites of the spec, but no images, keys and user-data."""


def boot_plan(planner: "Planner", cluster: str, *, accept_missing: bool = False) -> "ReadablePlan":
    """Let ``cluster`` run. Raises UsageError when neither spec nor state know it."""
    _refuse_unknown(cluster, planner)
    return planner.plan(PlanRequest(running=((cluster, True),), only_clusters=(cluster,), accept_missing=accept_missing))


def shutdown_plan(planner: "Planner", cluster: str, *, accept_missing: bool = False) -> "ReadablePlan":
    """Let ``cluster`` be off. Raises UsageError when neither spec nor state know it."""
    _refuse_unknown(cluster, planner)
    return planner.plan(PlanRequest(running=((cluster, False),), only_clusters=(cluster,), accept_missing=accept_missing))


def clean_plan(
    planner: "Planner", cluster: str, *, shutdown: bool = False, accept_missing: bool = False, prune_images: bool = False
) -> "ReadablePlan":
    """Remove everything of ``cluster``. Raises UsageError when neither spec nor state know it.

    Raises PlanRefusedError when nodes of it run, unless they are to be ``shutdown``.
    """
    _refuse_unknown(cluster, planner)
    request = PlanRequest(drop=(cluster,), only_clusters=(cluster,), accept_missing=accept_missing, prune_images=prune_images)
    plan = planner.plan(request)
    if not shutdown:
        refuse_running(plan, cluster, planner.state)
    return plan


def refuse_running(plan: "Plan", cluster: str, state: State) -> None:
    """Raise PlanRefusedError when cleaning ``cluster`` means to shut nodes down first."""
    nodes = [action.resource for action in plan.actions if action.verb == "shutdown" and isinstance(action.resource, Node)]
    if not nodes:
        return
    begun = [node.name for node in nodes if (record := state.record(node.address)) is not None and record.status == "pending"]
    running = [node.name for node in nodes if node.name not in begun]
    said = [f"{joined(running)} {'runs' if len(running) == 1 else 'run'}"] if running else []
    said += [f"{joined(begun)} {'was' if len(begun) == 1 else 'were'} begun and may run"] if begun else []
    raise PlanRefusedError(
        "Nodes of the cluster run" if running else "Nodes of the cluster may run",
        f"In cluster {cluster}, {', and '.join(said)}. Run `pragmaspec shutdown {cluster}` first, or say --shutdown. "
        "Nothing was changed.",
    )


def recorded_clusters(state: State) -> tuple[str, ...]:
    """Names of the clusters of which anything is recorded."""
    names = {record.resource.cluster for record in state.records if not isinstance(record.resource, StagedImage)}
    return tuple(sorted(names))


def refuse_unrecorded(cluster: str, state: State) -> None:
    """Raise UsageError when nothing of ``cluster`` is recorded in ``state``."""
    known = recorded_clusters(state)
    if cluster not in known:
        names = ", ".join(known) or "none"
        raise UsageError("No such cluster", f"{cluster} is not recorded. Recorded clusters: {names}.")


def _refuse_unknown(cluster: str, planner: "Planner") -> None:
    names = {each.name for each in planner.wanted.clusters} | set(recorded_clusters(planner.state))
    if cluster not in names:
        raise UsageError.of([_unknown(cluster, sorted(names), planner.wanted.spec_file)])


def _unknown(cluster: str, names: list[str], spec_file: str) -> Problem:
    from difflib import get_close_matches

    near = get_close_matches(cluster, names, n=1)
    hint = (
        f"Did you mean {near[0]}?" if near else f"There {'are' if len(names) > 1 else 'is'}: {', '.join(names)}." if names else ""
    )
    return Problem(summary="No such cluster", detail=f"{spec_file} has no cluster {cluster}. {hint}".rstrip())
