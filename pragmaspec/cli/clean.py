"""``clean``."""

from typing import TYPE_CHECKING, Annotated

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

if TYPE_CHECKING:
    from pragmaspec.planning.plan import Plan
    from pragmaspec.stack.run import Run


def register(app: typer.Typer) -> None:
    """Put the command into ``app``."""
    app.command("clean", epilog=examples("clean hello", "clean hello --shutdown"))(clean)


def clean(
    cluster: ClusterArgument,
    *,
    shutdown: Annotated[bool, typer.Option("--shutdown", help="Shut it down first when it runs.")] = False,
    auto_approve: ApproveOption = False,  # noqa: ARG001 - naming the cluster is the consent; scripts may still say it
    allow: AllowOption = None,
    json: JsonOption = False,
    verbose: VerboseOption = False,
    spec: SpecOption = None,
    state_dir: StateOption = None,
) -> None:
    """Remove a cluster with its disks, networks and addresses.

    Images that nobody else needs go too. Refused while it runs, unless told to shut it down. Shows its plan and does it
    without asking: naming the cluster is the consent, except for a protected one (--allow protected).
    """
    from pragmaspec.stack.stack import Stack
    from pragmaspec.stack.verbs import clean_request, refuse_running

    def plan_of(run: "Run") -> "Plan":
        plan = run.plan(clean_request(cluster, run.wanted, run.session.state))
        if not shutdown:
            refuse_running(plan, cluster)
        return plan

    manner = Manner(allow=("data-loss", *(allow or ())), json=json, verbose=verbose)
    with Stack(spec, state=state_dir) as stack:
        carry_out(stack, f"clean {cluster}", plan_of, manner)
