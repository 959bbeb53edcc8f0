"""``clean``: remove a cluster."""

from typing import TYPE_CHECKING, Annotated

import typer

from pragmaspec.cli.completion import clusters, volume_names
from pragmaspec.cli.options import (
    AcceptOptions,
    AllowOption,
    ChangeOptions,
    DryRunOptions,
    PruneImagesOption,
    StackOptions,
    examples,
    expand_option_groups,
)
from pragmaspec.cli.plan_and_apply import ApplyOptions, apply_or_preview
from pragmaspec.errors import UsageError

if TYPE_CHECKING:
    from pragmaspec.planning.plan import Plan
    from pragmaspec.stack.planning import Planner


_ClusterArgument = Annotated[
    str | None,
    typer.Argument(metavar="CLUSTER", help="Name of a cluster.", autocompletion=clusters, show_default=False),
]
_VolumeOption = Annotated[
    list[str] | None,
    typer.Option(
        "--volume",
        metavar="NAME",
        help="Remove this volume, which no node may use, instead of a cluster. Its address, if several sites have the name. "
        "Repeatable.",
        autocompletion=volume_names,
    ),
]


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command(
        "clean",
        epilog=examples(
            "clean hello",
            "clean hello --shutdown --prune-images",
            "clean hello --shutdown --dry-run",
            "clean --volume hello-frontend-home --allow data-loss",
        ),
    )(clean)


@expand_option_groups
def clean(
    cluster: _ClusterArgument = None,
    *,
    shutdown: Annotated[bool, typer.Option("--shutdown", help="Shut the cluster down first if it is running.")] = False,
    prune_images: PruneImagesOption = False,
    volumes: Annotated[bool, typer.Option("--volumes", help="Also remove the volumes of the cluster.")] = False,
    volume: _VolumeOption = None,
    allow: AllowOption = None,
    dry_run: DryRunOptions,
    change: ChangeOptions,
    accept: AcceptOptions,
    stack_options: StackOptions,
) -> None:
    """Remove a cluster with its disks and networks, or volumes.

    Staged images that no other cluster needs are removed, too. Volumes (`keep:` in the spec) are kept, unless --volumes; removing
    them requires --allow data-loss. Refused for a running cluster without --shutdown. Shows the plan and carries it out without
    asking, because the cluster is named; a protected one requires --allow protected.
    """
    from pragmaspec.stack.cluster_requests import NO_CLUSTER_DETAILS, CleanOptions, clean_plan, clean_volumes_plan

    if (cluster is None) != bool(volume) or (cluster is None and (shutdown or volumes or prune_images)):
        raise UsageError(
            "Cluster or volumes",
            "Name either a cluster, or volumes with --volume. --shutdown, --volumes and --prune-images belong to a cluster.",
        )

    def plan_of(planner: "Planner") -> "Plan":
        if cluster is None:
            return clean_volumes_plan(planner, tuple(volume or ()), accept_missing=accept.accept_missing)
        return clean_plan(planner, cluster, CleanOptions(shutdown, volumes, accept.accept_missing, prune_images))

    named = cluster or " ".join(f"--volume {name}" for name in volume or ())
    with stack_options.stack(accept_rollback=accept.accept_rollback, lock_timeout=change.lock_timeout) as stack:
        apply_or_preview(stack, f"clean {named}", plan_of, ApplyOptions.of(change, allow), dry_run, need=NO_CLUSTER_DETAILS)
