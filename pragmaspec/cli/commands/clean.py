"""``clean``: remove a cluster."""

from typing import TYPE_CHECKING, Annotated

import typer

from pragmaspec.cli.options import (
    AcceptOptions,
    AllowOption,
    ChangeOptions,
    ClusterArgument,
    DryRunOptions,
    PruneImagesOption,
    StackOptions,
    examples,
    expand_option_groups,
)
from pragmaspec.cli.plan_and_apply import ApplyOptions, apply_or_preview

if TYPE_CHECKING:
    from pragmaspec.planning.plan import Plan
    from pragmaspec.stack.planning import Planner


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command(
        "clean", epilog=examples("clean hello", "clean hello --shutdown --prune-images", "clean hello --shutdown --dry-run")
    )(clean)


@expand_option_groups
def clean(
    cluster: ClusterArgument,
    *,
    shutdown: Annotated[bool, typer.Option("--shutdown", help="Shut the cluster down first if it is running.")] = False,
    prune_images: PruneImagesOption = False,
    allow: AllowOption = None,
    dry_run: DryRunOptions,
    change: ChangeOptions,
    accept: AcceptOptions,
    stack_options: StackOptions,
) -> None:
    """Remove a cluster with its disks, networks and addresses.

    Staged images that no other cluster needs are removed, too. Refused for a running cluster without --shutdown. Shows the
    plan and carries it out without asking, because the cluster is named; a protected one requires --allow protected.
    """
    from pragmaspec.stack.cluster_requests import NO_CLUSTER_DETAILS, clean_plan

    def plan_of(planner: "Planner") -> "Plan":
        accept_missing = accept.accept_missing
        return clean_plan(planner, cluster, shutdown=shutdown, accept_missing=accept_missing, prune_images=prune_images)

    with stack_options.stack(accept_rollback=accept.accept_rollback, lock_timeout=change.lock_timeout) as stack:
        apply_or_preview(stack, f"clean {cluster}", plan_of, ApplyOptions.of(change, allow), dry_run, need=NO_CLUSTER_DETAILS)
