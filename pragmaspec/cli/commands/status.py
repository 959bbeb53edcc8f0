"""``status``: compare the recorded nodes with the sites."""

from typing import Annotated

import typer

from pragmaspec.cli.options import JsonOption, StackOptions, examples, expand_option_groups
from pragmaspec.cli.terminal.screen import out

EXIT_DRIFT = 2


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command("status", epilog=examples("status", "status --json", "status --detailed-exitcode"))(status)


@expand_option_groups
def status(
    *,
    json: JsonOption = False,
    detailed_exitcode: Annotated[bool, typer.Option("--detailed-exitcode", help="Exit with 2 if there is drift.")] = False,
    stack_options: StackOptions,
) -> None:
    """Query the sites for the status of all recorded nodes.

    Changes nothing, and does not read the spec.
    """
    from pragmaspec.cli.terminal.plan_output import show_warnings
    from pragmaspec.report.status_text import status_json, status_text

    with stack_options.stack() as stack:
        seen = stack.look()
    show_warnings([warning for each in seen.observations.values() for warning in each.warnings])
    if json:
        out().json(status_json(seen.state, seen.observations, seen.drift))
    else:
        out().write(status_text(seen.state, seen.observations, seen.drift, seen.seconds, out().style))
    if detailed_exitcode and seen.drift:
        raise typer.Exit(EXIT_DRIFT)
