"""``clean``."""

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
    """Put the command into ``app``."""
    app.command(
        "clean", epilog=examples("clean hello", "clean hello --shutdown --prune-images", "clean hello --shutdown --dry-run")
    )(clean)


@expand_option_groups
def clean(
    cluster: ClusterArgument,
    *,
    shutdown: Annotated[bool, typer.Option("--shutdown", help="Shut it down first when it runs.")] = False,
    prune_images: PruneImagesOption = False,
    allow: AllowOption = None,
    previewing: DryRunOptions,
    doing: ChangeOptions,
    accepting: AcceptOptions,
    which: StackOptions,
) -> None:
    """Remove a cluster with its disks, networks and addresses.

    Images that nobody else needs go too. Refused while it runs, unless told to shut it down. Shows its plan and does it
    without asking: naming the cluster is the consent, except for a protected one (--allow protected).
    """
    from pragmaspec.stack.cluster_requests import NO_CLUSTER_DETAILS, clean_plan

    def plan_of(planner: "Planner") -> "Plan":
        accept = accepting.accept_missing
        return clean_plan(planner, cluster, shutdown=shutdown, accept_missing=accept, prune_images=prune_images)

    with which.stack(accept_rollback=accepting.accept_rollback, lock_timeout=doing.lock_timeout) as stack:
        apply_or_preview(
            stack, f"clean {cluster}", plan_of, ApplyOptions.of(doing, allow or ()), previewing, need=NO_CLUSTER_DETAILS
        )
