"""``shutdown``."""

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
    """Put the command into ``app``."""
    app.command("shutdown", epilog=examples("shutdown hello", "shutdown hello --dry-run"))(shutdown)


@expand_option_groups
def shutdown(
    cluster: ClusterArgument, *, previewing: DryRunOptions, doing: ChangeOptions, accepting: AcceptOptions, which: StackOptions
) -> None:
    """Shut a cluster down, computes before the frontend.

    Gracefully, then by force after a minute. Disks stay, and so does all else: what the spec changes beside is named and
    waits for the next apply. Shows its plan and does it without asking: naming the cluster
    is the consent.
    """
    from pragmaspec.stack.cluster_requests import NO_CLUSTER_DETAILS, shutdown_plan

    with which.stack(accept_rollback=accepting.accept_rollback, lock_timeout=doing.lock_timeout) as stack:
        done = apply_or_preview(
            stack,
            f"shutdown {cluster}",
            lambda planner: shutdown_plan(planner, cluster, accept_missing=accepting.accept_missing),
            ApplyOptions.of(doing),
            previewing,
            need=NO_CLUSTER_DETAILS,
        )
        if done:
            _remind(stack, cluster)


def _remind(stack: "Stack", cluster: str) -> None:
    """Say so when the next apply would boot it again."""
    from pragmaspec.stack.cluster_requests import NO_CLUSTER_DETAILS

    wanted = stack.wanted(need=NO_CLUSTER_DETAILS).cluster(cluster)
    if wanted is not None and wanted.running:
        err().say(f"The spec says that {cluster} runs: the next apply boots it again, unless it says `state: off`.")
