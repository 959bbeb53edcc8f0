"""``shutdown``."""

from typing import TYPE_CHECKING

import typer

from pragmaspec.cli.carrying import Manner, carry_out
from pragmaspec.cli.options import Accepting, ClusterArgument, Doing, Which, examples
from pragmaspec.cli.screen import err
from pragmaspec.cli.spread import spread

if TYPE_CHECKING:
    from pragmaspec.stack.stack import Stack


def register(app: typer.Typer) -> None:
    """Put the command into ``app``."""
    app.command("shutdown", epilog=examples("shutdown hello"))(shutdown)


@spread
def shutdown(cluster: ClusterArgument, *, doing: Doing, accepting: Accepting, which: Which) -> None:
    """Shut a cluster down, computes before the frontend.

    Gracefully, then by force after a minute. Disks stay, and so does all else: what the spec changes beside is named and
    waits for the next apply. Shows its plan and does it without asking: naming the cluster
    is the consent.
    """
    from pragmaspec.stack.verbs import shutdown_request

    with which.stack(accept_rollback=accepting.accept_rollback) as stack:
        carry_out(
            stack,
            f"shutdown {cluster}",
            lambda run: run.plan(
                shutdown_request(cluster, run.wanted, run.session.state, accept_missing=accepting.accept_missing)
            ),
            Manner.of(doing),
        )
        _remind(stack, cluster)


def _remind(stack: "Stack", cluster: str) -> None:
    """Say so when the next apply would boot it again."""
    wanted = stack.wanted().cluster(cluster)
    if wanted is not None and wanted.running:
        err().say(f"The spec says that {cluster} runs: the next apply boots it again, unless it says `state: off`.")
