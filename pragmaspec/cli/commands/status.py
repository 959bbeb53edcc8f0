"""``status``."""

from typing import Annotated

import typer

from pragmaspec.cli.options import JsonOption, StackOptions, examples, expand_option_groups
from pragmaspec.cli.terminal.screen import out

EXIT_DRIFT = 2


def register(app: typer.Typer) -> None:
    """Put the command into ``app``."""
    app.command("status", epilog=examples("status", "status --json", "status --detailed-exitcode"))(status)


@expand_option_groups
def status(
    *,
    json: JsonOption = False,
    detailed_exitcode: Annotated[bool, typer.Option("--detailed-exitcode", help="Exit with 2 when there is drift.")] = False,
    which: StackOptions,
) -> None:
    """Ask the sites how the recorded nodes are now.

    Changes nothing, and reads no spec.
    """
    from pragmaspec.cli.plan_and_apply import show_warnings
    from pragmaspec.report.status_text import status_json, status_text

    with which.stack() as stack:
        seen = stack.look()
    show_warnings([warning for each in seen.observations.values() for warning in each.warnings])
    if json:
        out().json(status_json(seen.state, seen.observations, seen.drift))
    else:
        out().write(status_text(seen.state, seen.observations, seen.drift, seen.seconds, out().pen))
    if detailed_exitcode and seen.drift:
        raise typer.Exit(EXIT_DRIFT)
