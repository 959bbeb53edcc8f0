"""``plan``."""

from pathlib import Path
from typing import Annotated

import typer

from pragmaspec.cli.options import (
    ExcludeOption,
    JsonOption,
    SpecArgument,
    SpecOption,
    StateOption,
    TargetOption,
    VerboseOption,
    examples,
    one_spec,
)

EXIT_CHANGES = 2


def register(app: typer.Typer) -> None:
    """Put the command into ``app``."""
    app.command("plan", epilog=examples("plan", "plan hello.yaml --out hello.plan", "plan --target hello-compute-3"))(plan)


def plan(
    spec: SpecArgument = None,
    *,
    save: Annotated[
        str | None,
        typer.Option("--out", "-o", metavar="FILE", help="Save the plan, so that `apply FILE` does exactly this."),
    ] = None,
    json: JsonOption = False,
    detailed_exitcode: Annotated[
        bool, typer.Option("--detailed-exitcode", help="Exit with 2 when there are changes or drift, 0 when there are none.")
    ] = False,
    target: TargetOption = None,
    exclude: ExcludeOption = None,
    refresh: Annotated[bool, typer.Option("--refresh/--no-refresh", help="Look at the sites, or trust what is recorded.")] = True,
    verbose: VerboseOption = False,
    spec_option: SpecOption = None,
    state_dir: StateOption = None,
) -> None:
    """Show what apply would do, why, and at what risk. Changes nothing."""
    from pragmaspec.cli.carrying import note_interrupted, show_plan
    from pragmaspec.cli.imaging import image_progress
    from pragmaspec.cli.screen import err, out
    from pragmaspec.stack.stack import Stack

    with Stack(one_spec(spec, spec_option), state=state_dir) as stack:
        made = stack.plan(targets=target or (), exclude=exclude or (), refresh=refresh, reporter=image_progress())
        if json:
            from pragmaspec.report.plan_json import plan_form

            out().json(plan_form(made))
        else:
            note_interrupted(made, interrupted=stack.interrupted())
            show_plan(made, verbose=verbose)
        if save is not None:
            from pragmaspec.stack.saved import save_plan

            save_plan(made, stack.place, Path(save))
            err().say(f"Saved as {save}. `pragmaspec apply {save}` does exactly this, or refuses when anything has changed.")
    if detailed_exitcode and (made.actions or made.drift):
        raise typer.Exit(EXIT_CHANGES)
