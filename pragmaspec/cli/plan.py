"""``plan``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pragmaspec.cli.options import (
    Accepting,
    ExcludeOption,
    JsonOption,
    PruneImagesOption,
    SpecArgument,
    TargetOption,
    VerboseOption,
    Which,
    examples,
)
from pragmaspec.cli.spread import spread

if TYPE_CHECKING:
    from pragmaspec.planning.plan import Plan
    from pragmaspec.stack.stack import Stack

EXIT_CHANGES = 2


def register(app: typer.Typer) -> None:
    """Put the command into ``app``."""
    app.command("plan", epilog=examples("plan", "plan hello.yaml --out hello.plan", "plan --target hello-compute-3"))(plan)


@spread
def plan(
    named: SpecArgument = None,
    *,
    save: Annotated[
        str | None,
        typer.Option(
            "--out", "-o", metavar="FILE", help="Save the plan, so that `apply FILE` does exactly this; `-`: to standard output."
        ),
    ] = None,
    json: JsonOption = False,
    detailed_exitcode: Annotated[
        bool, typer.Option("--detailed-exitcode", help="Exit with 2 when there are changes or drift, 0 when there are none.")
    ] = False,
    target: TargetOption = None,
    exclude: ExcludeOption = None,
    prune_images: PruneImagesOption = False,
    refresh: Annotated[bool, typer.Option("--refresh/--no-refresh", help="Look at the sites, or trust what is recorded.")] = True,
    locked: Annotated[
        bool, typer.Option("--locked", help="Refuse images that are not exactly as pragmaspec.lock has them.")
    ] = False,
    verbose: VerboseOption = False,
    accepting: Accepting,
    which: Which,
) -> None:
    """Show what apply would do, why, and at what risk. Changes nothing."""
    from pragmaspec.cli.carrying import note_interrupted, note_under_way, show_plan, show_warnings
    from pragmaspec.cli.imaging import image_progress
    from pragmaspec.cli.screen import out
    from pragmaspec.spec.stream import is_standard_output
    from pragmaspec.stack.saved import check_out

    aside = save is not None and is_standard_output(save)
    if aside and json:
        raise typer.BadParameter("standard output takes one document: --json, or --out with a file")
    with which.stack(named, accept_rollback=accepting.accept_rollback, locked=locked) as stack:
        if save is not None:
            check_out(save, stack.place)
        made = stack.plan(
            targets=target or (),
            exclude=exclude or (),
            refresh=refresh,
            reporter=image_progress(),
            accept_missing=accepting.accept_missing,
            prune_images=prune_images,
        )
        if json:
            from pragmaspec.report.plan_json import plan_form

            show_warnings(made.warnings)
            out().json(plan_form(made))
        else:
            if stack.interrupted() and not note_under_way(stack, aside=aside):
                note_interrupted(made, interrupted=True, aside=aside)
            show_plan(made, verbose=verbose, aside=aside)
        if save is not None:
            _save(stack, made, save)
    if detailed_exitcode and (made.drift or not made.empty):
        raise typer.Exit(EXIT_CHANGES)


def _save(stack: "Stack", made: "Plan", file: str) -> None:
    from shlex import quote

    from pragmaspec.cli.screen import err, out
    from pragmaspec.spec.stream import is_standard_output, is_stream
    from pragmaspec.stack.saved import plan_document, save_plan

    if is_standard_output(file):
        out().write(plan_document(made, stack.place).decode())
        return
    save_plan(made, stack.place, file)
    if not is_stream(Path(file)):
        name = quote(file)
        err().say(f"Saved as {name}. `pragmaspec apply {name}` does exactly this, or refuses when anything has changed.")
