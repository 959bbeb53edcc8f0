"""``apply``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pragmaspec.cli.completion import specs
from pragmaspec.cli.options import (
    AcceptOptions,
    AllowOption,
    ChangeOptions,
    DryRunOptions,
    ExcludeOption,
    PruneImagesOption,
    ReplaceOption,
    StackOptions,
    TargetOption,
    examples,
    expand_option_groups,
    local_path,
    wait_for_locks,
)
from pragmaspec.cli.plan_and_apply import ApplyOptions, apply_or_preview, plan_and_apply

if TYPE_CHECKING:
    from pragmaspec.stack.saved_plan import SavedPlan


def register(app: typer.Typer) -> None:
    """Put the command into ``app``."""
    lines = (
        "apply",
        "apply hello.plan --auto-approve",
        "apply - --auto-approve < hello.plan",
        "apply --allow rebuild --allow data-loss",
        "apply --replace hello-compute-3",
    )
    app.command("apply", epilog=examples(*lines))(apply)


@expand_option_groups
def apply(
    spec_or_plan: Annotated[
        str | None,
        typer.Argument(
            metavar="SPEC|PLANFILE",
            help="The spec, found as by plan when absent; or a plan saved with --out, which is then done exactly; `-`: one "
            "from standard input.",
            autocompletion=specs,
            show_default=False,
            callback=local_path,
        ),
    ] = None,
    *,
    allow: AllowOption = None,
    target: TargetOption = None,
    exclude: ExcludeOption = None,
    replace: ReplaceOption = None,
    prune_images: PruneImagesOption = False,
    previewing: DryRunOptions,
    doing: ChangeOptions,
    accepting: AcceptOptions,
    which: StackOptions,
) -> None:
    """Make the sites be as the spec says.

    Plans, shows the plan, asks, does it in parallel and records every step. Running it again after a failure or an
    interruption continues. Rebuilding nodes, losing their disks and cleaning what is protected must be allowed by name.
    """
    manner = ApplyOptions.of(doing, allow or (), ask=not doing.auto_approve)
    saved = _saved_plan(spec_or_plan) if spec_or_plan is not None else None
    if saved is not None:
        if target or exclude or replace or prune_images or which != StackOptions() or accepting != AcceptOptions():
            raise typer.BadParameter(
                "a saved plan is applied as it is; plan anew to choose --target, --exclude, --replace, --prune-images, --spec, "
                "--state or what to accept"
            )
        if previewing.dry_run:
            raise typer.BadParameter(
                "a saved plan was shown when it was made; without --dry-run it is shown again before it is applied"
            )
        _apply_saved(saved, Path(spec_or_plan or "").name, manner, doing.lock_timeout)
        return
    from pragmaspec.planning.request import PlanRequest

    request = PlanRequest(
        targets=tuple(target or ()),
        exclude=tuple(exclude or ()),
        replace=tuple(replace or ()),
        accept_missing=accepting.accept_missing,
        prune_images=prune_images,
    )
    with which.stack(spec_or_plan, accept_rollback=accepting.accept_rollback, lock_timeout=doing.lock_timeout) as stack:
        _ = stack.place.spec_file  # whoever meant a plan is to hear of the file, not of a state beside it
        apply_or_preview(stack, "apply", lambda planner: planner.plan(request), manner, previewing)


def _saved_plan(file: str) -> "SavedPlan | None":
    """The saved plan in ``file``; None when that is a spec."""
    from pragmaspec.stack.saved_plan import open_saved_plan

    return open_saved_plan(file)


def _apply_saved(saved: "SavedPlan", name: str, manner: ApplyOptions, lock_timeout: str) -> None:
    from pragmaspec.stack.saved_plan import clusters_needed_by, location_of
    from pragmaspec.stack.stack import Stack

    with Stack(place=location_of(saved)) as stack:
        wait_for_locks(stack.store, lock_timeout)
        need = clusters_needed_by(saved.plan)
        plan_and_apply(stack, f"apply {name}", lambda run: run.bound(saved.plan), manner, saved.plan.lineage, need=need)
