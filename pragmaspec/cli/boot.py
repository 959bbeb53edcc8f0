"""``boot``."""

import typer

from pragmaspec.cli.carrying import Manner, carry_out
from pragmaspec.cli.options import Accepting, AllowOption, ClusterArgument, Doing, Which, examples
from pragmaspec.cli.spread import spread


def register(app: typer.Typer) -> None:
    """Put the command into ``app``."""
    app.command("boot", epilog=examples("boot hello", "boot hello --allow rebuild"))(boot)


@spread
def boot(cluster: ClusterArgument, *, allow: AllowOption = None, doing: Doing, accepting: Accepting, which: Which) -> None:
    """Let a cluster run as the spec describes it.

    Also when the spec says `state: off`; makes what is missing. Shows its plan and does it without asking: naming the
    cluster is the consent. Rebuilds still have to be allowed.
    """
    from pragmaspec.stack.verbs import boot_request

    with which.stack(accept_rollback=accepting.accept_rollback) as stack:
        carry_out(
            stack,
            f"boot {cluster}",
            lambda run: run.plan(boot_request(cluster, run.wanted, accept_missing=accepting.accept_missing)),
            Manner.of(doing, allow or ()),
        )
