"""Plans that are shown and optionally saved, but not applied: ``plan``, and ``--dry-run`` of other commands."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import typer

from pragmaspec.cli.terminal.plan_output import note_interrupted, note_running, show_plan, show_warnings
from pragmaspec.cli.terminal.screen import err, out

if TYPE_CHECKING:
    from pragmaspec.planning.plan import Plan
    from pragmaspec.stack.planning import Planner
    from pragmaspec.stack.stack import Stack

EXIT_CHANGES = 2


class PreviewOptions(NamedTuple):
    """Options of a preview. ``save``: file for the plan; ``detailed_exitcode``: exit with 2 if there are changes or drift."""

    save: str | None = None
    json: bool = False
    verbose: bool = False
    detailed_exitcode: bool = False


def preview(
    stack: "Stack", plan_of: "Callable[[Planner], Plan]", options: PreviewOptions, *, need: frozenset[str] | None = None
) -> None:
    """Print the plan, and save it if requested. Takes no lock and changes nothing.

    ``need``: see :meth:`pragmaspec.stack.stack.Stack.wanted`.
    """
    from pragmaspec.cli.terminal.image_progress import image_progress
    from pragmaspec.files import is_standard_output
    from pragmaspec.stack.saved_plan import check_output_file

    to_stderr = options.save is not None and is_standard_output(options.save)
    if to_stderr and options.json:
        raise typer.BadParameter("standard output can hold one document: use --json, or --out with a file")
    if options.save is not None:
        check_output_file(options.save, stack.location)
    with stack.planner(image_progress(), need=need) as planner:
        plan = plan_of(planner)
    if options.json:
        from pragmaspec.report.plan.json import plan_json

        show_warnings(plan.warnings)
        out().json(plan_json(plan))
    else:
        if stack.interrupted() and not note_running(stack, to_stderr=to_stderr):
            note_interrupted(plan, to_stderr=to_stderr)
        show_plan(plan, verbose=options.verbose, to_stderr=to_stderr)
    if options.save is not None:
        _save(stack, plan, options.save)
    if options.detailed_exitcode and (plan.drift or not plan.empty):
        raise typer.Exit(EXIT_CHANGES)


def _save(stack: "Stack", plan: "Plan", file: str) -> None:
    from shlex import quote

    from pragmaspec.files import is_standard_output, is_stream
    from pragmaspec.stack.saved_plan import plan_document, save_plan

    if is_standard_output(file):
        out().write(plan_document(plan, stack.location).decode())
        return
    save_plan(plan, stack.location, file)
    if not is_stream(Path(file)):
        name = quote(file)
        err().line(f"Saved as {name}. `pragmaspec apply {name}` carries out exactly this plan, or refuses if anything changed.")
