"""``shutdown``: shut a cluster down."""

from typing import TYPE_CHECKING

import typer

from pragmaspec.cli.options import (
    AcceptOptions,
    ChangeOptions,
    ClusterArgument,
    DryRunOptions,
    StackOptions,
    examples,
    expand_option_groups,
)
from pragmaspec.cli.plan_and_apply import ApplyOptions, apply_or_preview
from pragmaspec.cli.terminal.screen import err

if TYPE_CHECKING:
    from pragmaspec.stack.stack import Stack


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command("shutdown", epilog=examples("shutdown hello", "shutdown hello --dry-run"))(shutdown)


@expand_option_groups
def shutdown(
    cluster: ClusterArgument, *, dry_run: DryRunOptions, change: ChangeOptions, accept: AcceptOptions, stack_options: StackOptions
) -> None:
    """Shut a cluster down, computes before the frontend.

    Graceful, and forced after a minute. Disks are kept; other changes in the spec are listed and left to the next apply.
    Shows the plan and carries it out without asking, because the cluster is named.
    """
    from pragmaspec.stack.cluster_requests import NO_CLUSTER_DETAILS, shutdown_plan

    with stack_options.stack(accept_rollback=accept.accept_rollback, lock_timeout=change.lock_timeout) as stack:
        applied = apply_or_preview(
            stack,
            f"shutdown {cluster}",
            lambda planner: shutdown_plan(planner, cluster, accept_missing=accept.accept_missing),
            ApplyOptions.of(change),
            dry_run,
            need=NO_CLUSTER_DETAILS,
        )
        if applied:
            _remind(stack, cluster)


def _remind(stack: "Stack", cluster: str) -> None:
    """Print a note if the next apply would boot the cluster again."""
    from pragmaspec.stack.cluster_requests import NO_CLUSTER_DETAILS

    wanted = stack.wanted(need=NO_CLUSTER_DETAILS).cluster(cluster)
    if wanted is not None and wanted.running:
        err().line(f"The next apply boots {cluster} again, unless the spec has `state: off` for it.")
