"""``boot``."""

import typer

from pragmaspec.cli.options import Accepting, AllowOption, ClusterArgument, Doing, Previewing, Which, examples, spread
from pragmaspec.cli.plan_and_apply import Manner, show_or_do


def register(app: typer.Typer) -> None:
    """Put the command into ``app``."""
    app.command("boot", epilog=examples("boot hello", "boot hello --dry-run"))(boot)


@spread
def boot(
    cluster: ClusterArgument,
    *,
    allow: AllowOption = None,
    previewing: Previewing,
    doing: Doing,
    accepting: Accepting,
    which: Which,
) -> None:
    """Let a cluster run, and touch nothing else of it.

    Also when the spec says `state: off`; makes nodes that are missing. What is there runs as it was left: what else the
    spec changes is named and waits for the next apply. Shows its plan and does it without asking: naming the cluster is the
    consent.
    """
    from pragmaspec.stack.cluster_requests import OUTLINE, boot_plan

    with which.stack(accept_rollback=accepting.accept_rollback, lock_timeout=doing.lock_timeout) as stack:
        show_or_do(
            stack,
            f"boot {cluster}",
            lambda planner: boot_plan(planner, cluster, accept_missing=accepting.accept_missing),
            Manner.of(doing, allow or ()),
            previewing,
            need=OUTLINE,
        )
