"""``clean``."""

from typing import TYPE_CHECKING, Annotated

import typer

from pragmaspec.cli.carrying import Manner, carry_out
from pragmaspec.cli.options import Accepting, AllowOption, ClusterArgument, Doing, PruneImagesOption, Which, examples
from pragmaspec.cli.spread import spread

if TYPE_CHECKING:
    from pragmaspec.planning.plan import Plan
    from pragmaspec.stack.run import Run


def register(app: typer.Typer) -> None:
    """Put the command into ``app``."""
    app.command("clean", epilog=examples("clean hello", "clean hello --shutdown --prune-images"))(clean)


@spread
def clean(
    cluster: ClusterArgument,
    *,
    shutdown: Annotated[bool, typer.Option("--shutdown", help="Shut it down first when it runs.")] = False,
    prune_images: PruneImagesOption = False,
    allow: AllowOption = None,
    doing: Doing,
    accepting: Accepting,
    which: Which,
) -> None:
    """Remove a cluster with its disks, networks and addresses.

    Images that nobody else needs go too. Refused while it runs, unless told to shut it down. Shows its plan and does it
    without asking: naming the cluster is the consent, except for a protected one (--allow protected).
    """
    from pragmaspec.stack.verbs import clean_request, refuse_running

    def plan_of(run: "Run") -> "Plan":
        request = clean_request(
            cluster, run.wanted, run.session.state, accept_missing=accepting.accept_missing, prune_images=prune_images
        )
        plan = run.plan(request)
        if not shutdown:
            refuse_running(plan, cluster)
        return plan

    with which.stack(accept_rollback=accepting.accept_rollback) as stack:
        carry_out(stack, f"clean {cluster}", plan_of, Manner.of(doing, ("data-loss", *(allow or ()))))
