"""Plans for the commands ``boot``, ``shutdown`` and ``clean`` of one cluster, and their refusals."""

from typing import TYPE_CHECKING, NamedTuple

from msgspec.structs import replace

from pragmaspec.errors import PlanRefusedError, UsageError
from pragmaspec.planning.request import PlanRequest
from pragmaspec.resources import Node, StagedImage, Volume
from pragmaspec.stack.named_volumes import known_volumes, volume_addresses
from pragmaspec.state_model import State
from pragmaspec.text import did_you_mean, joined

if TYPE_CHECKING:
    from pragmaspec.planning.plan import Plan
    from pragmaspec.stack.planning import Planner, ReadablePlan


NO_CLUSTER_DETAILS: frozenset[str] = frozenset()
"""The ``need`` of these commands: clusters and sites of the spec, but no images, keys or user-data."""


def boot_plan(planner: "Planner", cluster: str, *, accept_missing: bool = False) -> "ReadablePlan":
    """Plan to boot ``cluster``. Raises UsageError if it is neither in the spec nor recorded."""
    _refuse_unknown(cluster, planner)
    return planner.plan(PlanRequest(running=((cluster, True),), only_clusters=(cluster,), accept_missing=accept_missing))


def shutdown_plan(planner: "Planner", cluster: str, *, accept_missing: bool = False) -> "ReadablePlan":
    """Plan to shut ``cluster`` down. Raises UsageError if it is neither in the spec nor recorded."""
    _refuse_unknown(cluster, planner)
    return planner.plan(PlanRequest(running=((cluster, False),), only_clusters=(cluster,), accept_missing=accept_missing))


class CleanOptions(NamedTuple):
    """Options of the removal of a cluster: ``volumes``: also those that it uses or used last."""

    shutdown: bool = False
    volumes: bool = False
    accept_missing: bool = False
    prune_images: bool = False


def clean_plan(planner: "Planner", cluster: str, options: CleanOptions) -> "ReadablePlan":
    """Plan to remove ``cluster`` completely. Raises UsageError if it is neither in the spec nor recorded.

    Raises PlanRefusedError if nodes of it are running, unless ``options.shutdown``.
    """
    _refuse_unknown(cluster, planner)
    request = PlanRequest(
        drop=(cluster,), only_clusters=(cluster,), accept_missing=options.accept_missing, prune_images=options.prune_images
    )
    if options.volumes:
        volumes = (each.volume for each in known_volumes(planner, request))
        request = replace(request, drop_volumes=tuple(each.address for each in volumes if each.cluster == cluster))
    plan = planner.plan(request)
    if not options.shutdown:
        refuse_running(plan, cluster, planner.state)
    return plan


def clean_volumes_plan(planner: "Planner", names: tuple[str, ...], *, accept_missing: bool = False) -> "ReadablePlan":
    """Plan to remove the volumes ``names`` (or addresses), and nothing else.

    Raises UsageError for one that is not recorded, or a name that several have.
    """
    request = PlanRequest(drop_volumes=names, accept_missing=accept_missing)
    return planner.plan(replace(request, drop_volumes=volume_addresses(names, known_volumes(planner, request))))


def refuse_running(plan: "Plan", cluster: str, state: State) -> None:
    """Raise PlanRefusedError if ``plan`` has to shut down nodes of ``cluster`` before it cleans them."""
    nodes = [action.resource for action in plan.actions if action.verb == "shutdown" and isinstance(action.resource, Node)]
    if not nodes:
        return
    pending = [node.name for node in nodes if (record := state.record(node.address)) is not None and record.status == "pending"]
    running = [node.name for node in nodes if node.name not in pending]
    states = [f"{joined(running)} {'is' if len(running) == 1 else 'are'} running"] if running else []
    states += [f"{joined(pending)} {'is' if len(pending) == 1 else 'are'} pending and may be running"] if pending else []
    raise PlanRefusedError(
        "Nodes of the cluster are running" if running else "Nodes of the cluster may be running",
        f"In cluster {cluster}, {', and '.join(states)}. Run `pragmaspec shutdown {cluster}` first, or use --shutdown. "
        "Nothing was changed.",
    )


def recorded_clusters(state: State) -> tuple[str, ...]:
    """Return the names of the recorded clusters."""
    names = {record.resource.cluster for record in state.records if not isinstance(record.resource, StagedImage | Volume)}
    return tuple(sorted(names))


def refuse_unrecorded(cluster: str, state: State) -> None:
    """Raise UsageError if ``cluster`` is not recorded in ``state``."""
    known = recorded_clusters(state)
    if cluster not in known:
        names = ", ".join(known) or "none"
        raise UsageError("No such cluster", f"{cluster} is not recorded. Recorded clusters: {names}.")


def _refuse_unknown(cluster: str, planner: "Planner") -> None:
    names = sorted({each.name for each in planner.wanted.clusters} | set(recorded_clusters(planner.state)))
    if cluster not in names:
        known = f"Clusters: {', '.join(names)}." if names else ""
        detail = f"{planner.wanted.spec_file} has no cluster {cluster}. {did_you_mean(cluster, names, known)}"
        raise UsageError("No such cluster", detail.rstrip())
