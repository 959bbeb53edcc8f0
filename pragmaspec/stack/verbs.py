"""What ``boot``, ``shutdown`` and ``clean`` of one cluster ask of planning, and when they are refused."""

from typing import TYPE_CHECKING

from pragmaspec.errors import PlanRefusedError, Problem, UsageError
from pragmaspec.planning.request import PlanRequest
from pragmaspec.recorded import Node, StagedImage, State

if TYPE_CHECKING:
    from pragmaspec.planning.plan import Plan
    from pragmaspec.planning.wanted import Wanted


def boot_request(cluster: str, wanted: "Wanted", state: State, *, accept_missing: bool = False) -> PlanRequest:
    """Let ``cluster`` run. Raises UsageError when neither spec nor state know it."""
    _refuse_unknown(cluster, wanted, state)
    return PlanRequest(running=((cluster, True),), only_clusters=(cluster,), accept_missing=accept_missing)


def shutdown_request(cluster: str, wanted: "Wanted", state: State, *, accept_missing: bool = False) -> PlanRequest:
    """Let ``cluster`` be off. Raises UsageError when neither spec nor state know it."""
    _refuse_unknown(cluster, wanted, state)
    return PlanRequest(running=((cluster, False),), only_clusters=(cluster,), accept_missing=accept_missing)


def clean_request(
    cluster: str, wanted: "Wanted", state: State, *, accept_missing: bool = False, prune_images: bool = False
) -> PlanRequest:
    """Remove everything of ``cluster``. Raises UsageError when neither spec nor state know it."""
    _refuse_unknown(cluster, wanted, state)
    return PlanRequest(drop=(cluster,), only_clusters=(cluster,), accept_missing=accept_missing, prune_images=prune_images)


def refuse_running(plan: "Plan", cluster: str) -> None:
    """Raise PlanRefusedError when cleaning ``cluster`` means to shut nodes down first."""
    running = [action.resource.name for action in plan.actions if action.verb == "shutdown" and isinstance(action.resource, Node)]
    if running:
        shown = ", ".join(running[:8]) + (f" and {len(running) - 8} more" if len(running) > 8 else "")  # noqa: PLR2004
        raise PlanRefusedError(
            Problem(
                summary="The cluster is running",
                detail=f"{shown} of {cluster} would be shut down and removed with their disks. Run "
                f"`pragmaspec shutdown {cluster}` first, or say --shutdown. Nothing was changed.",
            )
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
        raise UsageError(Problem(summary="No such cluster", detail=f"{cluster} is not recorded. Recorded clusters: {names}."))


def _refuse_unknown(cluster: str, wanted: "Wanted", state: State) -> None:
    names = {each.name for each in wanted.clusters} | set(recorded_clusters(state))
    if cluster not in names:
        raise UsageError(_unknown(cluster, sorted(names), wanted.spec_file))


def _unknown(cluster: str, names: list[str], spec_file: str) -> Problem:
    from difflib import get_close_matches

    near = get_close_matches(cluster, names, n=1)
    hint = (
        f"Did you mean {near[0]}?" if near else f"There {'are' if len(names) > 1 else 'is'}: {', '.join(names)}." if names else ""
    )
    return Problem(summary="No such cluster", detail=f"{spec_file} has no cluster {cluster}. {hint}".rstrip())
