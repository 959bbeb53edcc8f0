"""``apply``."""

from pathlib import Path
from typing import Annotated

import typer

from pragmaspec.cli.carrying import Manner, carry_out
from pragmaspec.cli.complete import specs
from pragmaspec.cli.options import Accepting, AllowOption, Doing, ExcludeOption, PruneImagesOption, TargetOption, Which, examples
from pragmaspec.cli.spread import spread


def register(app: typer.Typer) -> None:
    """Put the command into ``app``."""
    lines = ("apply", "apply hello.plan --auto-approve", "apply --allow rebuild --allow data-loss")
    app.command("apply", epilog=examples(*lines))(apply)


@spread
def apply(
    spec_or_plan: Annotated[
        str | None,
        typer.Argument(
            metavar="SPEC|PLANFILE",
            help="The spec, found as by plan when absent; or a plan saved with --out, which is then done exactly.",
            autocompletion=specs,
            show_default=False,
        ),
    ] = None,
    *,
    allow: AllowOption = None,
    target: TargetOption = None,
    exclude: ExcludeOption = None,
    prune_images: PruneImagesOption = False,
    doing: Doing,
    accepting: Accepting,
    which: Which,
) -> None:
    """Make the sites be as the spec says.

    Plans, shows the plan, asks, does it in parallel and records every step. Running it again after a failure or an
    interruption continues. Rebuilding nodes, losing their disks and cleaning what is protected must be allowed by name.
    """
    manner = Manner.of(doing, allow or (), ask=not doing.auto_approve)
    if spec_or_plan is not None and is_saved(spec_or_plan):
        if target or exclude or prune_images or which != Which() or accepting != Accepting():
            raise typer.BadParameter(
                "a saved plan is applied as it is; plan anew to choose --target, --exclude, --prune-images, --spec, --state or "
                "what to accept"
            )
        _saved(Path(spec_or_plan), manner)
        return
    from pragmaspec.planning.request import PlanRequest

    request = PlanRequest(
        targets=tuple(target or ()),
        exclude=tuple(exclude or ()),
        accept_missing=accepting.accept_missing,
        prune_images=prune_images,
    )
    with which.stack(spec_or_plan, accept_rollback=accepting.accept_rollback) as stack:
        _ = stack.place.spec_file  # whoever meant a plan is to hear of the file, not of a state beside it
        carry_out(stack, "apply", lambda run: run.plan(request), manner)


def is_saved(file: str) -> bool:
    """Whether ``file`` is a saved plan rather than a spec."""
    from pragmaspec.stack.saved import is_saved_plan

    return is_saved_plan(Path(file))


def _saved(file: Path, manner: Manner) -> None:
    from pragmaspec.stack.saved import place_of, read_saved_plan
    from pragmaspec.stack.stack import Stack

    saved = read_saved_plan(file)
    with Stack(place=place_of(saved)) as stack:
        carry_out(stack, f"apply {file.name}", lambda run: run.bound(saved.plan), manner, saved.plan.lineage)
