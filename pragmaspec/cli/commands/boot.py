"""``boot``: start a cluster."""

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
    """Add the command to ``app``."""
    app.command("boot", epilog=examples("boot hello", "boot hello --dry-run"))(boot)


@expand_option_groups
def boot(
    cluster: ClusterArgument,
    *,
    allow: AllowOption = None,
    dry_run: DryRunOptions,
    change: ChangeOptions,
    accept: AcceptOptions,
    stack_options: StackOptions,
) -> None:
    """Start a cluster without any other change.

    Overrides `state: off` of the spec, and creates missing nodes. Other changes in the spec are listed and left to the next
    apply. Shows the plan and carries it out without asking, because the cluster is named.
    """
    from pragmaspec.stack.cluster_requests import NO_CLUSTER_DETAILS, boot_plan

    with stack_options.stack(accept_rollback=accept.accept_rollback, lock_timeout=change.lock_timeout) as stack:
        apply_or_preview(
            stack,
            f"boot {cluster}",
            lambda planner: boot_plan(planner, cluster, accept_missing=accept.accept_missing),
            ApplyOptions.of(change, allow),
            dry_run,
            need=NO_CLUSTER_DETAILS,
        )
