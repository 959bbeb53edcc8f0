"""Plans that are only shown: ``plan``, and every other command with ``--dry-run``; saved when that is asked for."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from pragmaspec.cli.terminal.screen import err, out

if TYPE_CHECKING:
    from pragmaspec.planning.plan import Plan
    from pragmaspec.stack.planning import Planner
    from pragmaspec.stack.stack import Stack

EXIT_CHANGES = 2


def preview(
    stack: "Stack",
    plan_of: "Callable[[Planner], Plan]",
    *,
    need: frozenset[str] | None = None,
    save: str | None = None,
    json: bool = False,
    verbose: bool = False,
    detailed_exitcode: bool = False,
) -> None:
    """Print the plan, and save it; takes no lock and changes nothing.

    ``need``: as of :meth:`pragmaspec.stack.stack.Stack.wanted`. Ends the command with status 2 where changes are to be told from
    none and there are some.
    """
    from pragmaspec.cli.plan_and_apply import note_interrupted, note_running, show_plan, show_warnings
    from pragmaspec.cli.terminal.image_progress import image_progress
    from pragmaspec.files import is_standard_output
    from pragmaspec.stack.saved_plan import check_output_file

    aside = save is not None and is_standard_output(save)
    if aside and json:
        raise typer.BadParameter("standard output takes one document: --json, or --out with a file")
    if save is not None:
        check_output_file(save, stack.place)
    with stack.planner(image_progress(), need=need) as planner:
        made = plan_of(planner)
    if json:
        from pragmaspec.report.plan.json import plan_json

        show_warnings(made.warnings)
        out().json(plan_json(made))
    else:
        if stack.interrupted() and not note_running(stack, aside=aside):
            note_interrupted(made, interrupted=True, aside=aside)
        show_plan(made, verbose=verbose, aside=aside)
    if save is not None:
        _save(stack, made, save)
    if detailed_exitcode and (made.drift or not made.empty):
        raise typer.Exit(EXIT_CHANGES)


def _save(stack: "Stack", made: "Plan", file: str) -> None:
    from shlex import quote

    from pragmaspec.files import is_standard_output, is_stream
    from pragmaspec.stack.saved_plan import plan_document, save_plan

    if is_standard_output(file):
        out().write(plan_document(made, stack.place).decode())
        return
    save_plan(made, stack.place, file)
    if not is_stream(Path(file)):
        name = quote(file)
        err().say(f"Saved as {name}. `pragmaspec apply {name}` does exactly this, or refuses when anything has changed.")
