"""``boot``."""

import typer

from pragmaspec.cli.carrying import Manner, carry_out
from pragmaspec.cli.options import Accepting, AllowOption, ClusterArgument, Doing, Which, examples
from pragmaspec.cli.spread import spread


def register(app: typer.Typer) -> None:
    """Put the command into ``app``."""
    app.command("boot", epilog=examples("boot hello"))(boot)


@spread
def boot(cluster: ClusterArgument, *, allow: AllowOption = None, doing: Doing, accepting: Accepting, which: Which) -> None:
    """Let a cluster run, and touch nothing else of it.

    Also when the spec says `state: off`; makes nodes that are missing. What is there runs as it was left: what else the
    spec changes is named and waits for the next apply. Shows its plan and does it without asking: naming the cluster is the
    consent.
    """
    from pragmaspec.stack.verbs import boot_request

    with which.stack(accept_rollback=accepting.accept_rollback) as stack:
        carry_out(
            stack,
            f"boot {cluster}",
            lambda run: run.plan(boot_request(cluster, run.wanted, run.session.state, accept_missing=accepting.accept_missing)),
            Manner.of(doing, allow or ()),
        )
