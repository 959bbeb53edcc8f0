"""``boot``."""

import typer

from pragmaspec.cli.carrying import Manner, carry_out
from pragmaspec.cli.options import (
    AllowOption,
    ApproveOption,
    ClusterArgument,
    JsonOption,
    SpecOption,
    StateOption,
    VerboseOption,
    examples,
)


def register(app: typer.Typer) -> None:
    """Put the command into ``app``."""
    app.command("boot", epilog=examples("boot hello", "boot hello --allow rebuild"))(boot)


def boot(
    cluster: ClusterArgument,
    *,
    auto_approve: ApproveOption = False,  # noqa: ARG001 - naming the cluster is the consent; scripts may still say it
    allow: AllowOption = None,
    json: JsonOption = False,
    verbose: VerboseOption = False,
    spec: SpecOption = None,
    state_dir: StateOption = None,
) -> None:
    """Let a cluster run as the spec describes it.

    Also when the spec says `state: off`; makes what is missing. Shows its plan and does it without asking: naming the
    cluster is the consent. Rebuilds still have to be allowed.
    """
    from pragmaspec.stack.stack import Stack
    from pragmaspec.stack.verbs import boot_request

    manner = Manner(allow=tuple(allow or ()), json=json, verbose=verbose)
    with Stack(spec, state=state_dir) as stack:
        carry_out(stack, f"boot {cluster}", lambda run: run.plan(boot_request(cluster, run.wanted)), manner)
