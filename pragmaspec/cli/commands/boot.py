"""``boot``."""

import typer

from pragmaspec.cli.options import (
    AcceptOptions,
    AllowOption,
    ChangeOptions,
    ClusterArgument,
    DryRunOptions,
    StackOptions,
    examples,
    expand_option_groups,
)
from pragmaspec.cli.plan_and_apply import ApplyOptions, apply_or_preview


def register(app: typer.Typer) -> None:
    """Put the command into ``app``."""
    app.command("boot", epilog=examples("boot hello", "boot hello --dry-run"))(boot)


@expand_option_groups
def boot(
    cluster: ClusterArgument,
    *,
    allow: AllowOption = None,
    previewing: DryRunOptions,
    doing: ChangeOptions,
    accepting: AcceptOptions,
    which: StackOptions,
) -> None:
    """Let a cluster run, and touch nothing else of it.

    Also when the spec says `state: off`; makes nodes that are missing. What is there runs as it was left: what else the
    spec changes is named and waits for the next apply. Shows its plan and does it without asking: naming the cluster is the
    consent.
    """
    from pragmaspec.stack.cluster_requests import NO_CLUSTER_DETAILS, boot_plan

    with which.stack(accept_rollback=accepting.accept_rollback, lock_timeout=doing.lock_timeout) as stack:
        apply_or_preview(
            stack,
            f"boot {cluster}",
            lambda planner: boot_plan(planner, cluster, accept_missing=accepting.accept_missing),
            ApplyOptions.of(doing, allow or ()),
            previewing,
            need=NO_CLUSTER_DETAILS,
        )
