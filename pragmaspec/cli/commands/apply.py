"""``apply``: plan, show, confirm and carry out the changes of a spec, or carry out a saved plan."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pragmaspec.cli.completion import specs
from pragmaspec.cli.options import (
    AcceptOptions,
    AllowOption,
    ChangeOptions,
    DryRunOptions,
    SelectionOptions,
    StackOptions,
    examples,
    expand_option_groups,
    local_path,
    wait_for_locks,
)
from pragmaspec.cli.plan_and_apply import ApplyOptions, apply_or_preview, plan_and_apply

if TYPE_CHECKING:
    from pragmaspec.stack.saved_plan import SavedPlan

SpecOrPlanArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="SPEC|PLANFILE",
        help="The spec (default: as for plan), or a plan saved with --out, which is carried out exactly; `-`: a plan from "
        "standard input.",
        autocompletion=specs,
        show_default=False,
        callback=local_path,
    ),
]
_PLAN_IS_FIXED = (
    "a saved plan is applied as it is; make a new plan to use --target, --exclude, --replace, --prune-images, --spec, --state, "
    "--accept-rollback or --accept-missing"
)


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
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
    spec_or_plan: SpecOrPlanArgument = None,
    *,
    allow: AllowOption = None,
    selection: SelectionOptions,
    dry_run: DryRunOptions,
    change: ChangeOptions,
    accept: AcceptOptions,
    stack_options: StackOptions,
) -> None:
    """Apply the spec to its sites.

    Plans, shows the plan, asks, carries it out in parallel and records every action. After a failure or an interruption,
    run it again to continue. Rebuilding nodes, losing disks and changing protected clusters must be allowed by name.
    """
    from pragmaspec.stack.saved_plan import open_saved_plan

    options = ApplyOptions.of(change, allow, ask=not change.auto_approve)
    saved = open_saved_plan(spec_or_plan) if spec_or_plan is not None else None
    if saved is None:
        request = selection.request(accept)
        with stack_options.stack(spec_or_plan, accept_rollback=accept.accept_rollback, lock_timeout=change.lock_timeout) as stack:
            _ = stack.location.spec_file  # for a mistyped plan file, report the file instead of a state beside it
            apply_or_preview(stack, "apply", lambda planner: planner.plan(request), options, dry_run)
        return
    if selection != SelectionOptions() or stack_options != StackOptions() or accept != AcceptOptions():
        raise typer.BadParameter(_PLAN_IS_FIXED)
    if dry_run.requested:
        raise typer.BadParameter(
            "--dry-run is not available for a saved plan; without it, the plan is shown before it is applied"
        )
    _apply_saved(saved, Path(spec_or_plan or "").name, options, change.lock_timeout)


def _apply_saved(saved: "SavedPlan", name: str, options: ApplyOptions, lock_timeout: str) -> None:
    from pragmaspec.stack.saved_plan import clusters_needed_by, location_of
    from pragmaspec.stack.stack import Stack

    plan = saved.plan
    with Stack(location=location_of(saved)) as stack:
        wait_for_locks(stack.store, lock_timeout)
        plan_and_apply(
            stack, f"apply {name}", lambda run: run.bound(plan), options, lineage=plan.lineage, need=clusters_needed_by(plan)
        )
