"""``plan``: show the changes that an apply would make."""

from typing import Annotated

import typer

from pragmaspec.cli.options import (
    AcceptOptions,
    DetailedOption,
    JsonOption,
    SaveOption,
    SelectionOptions,
    SpecArgument,
    StackOptions,
    VerboseOption,
    examples,
    expand_option_groups,
)
from pragmaspec.cli.preview import PreviewOptions, preview


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command("plan", epilog=examples("plan", "plan hello.yaml --out hello.plan", "plan --target hello-compute-3"))(plan)


@expand_option_groups
def plan(
    spec_argument: SpecArgument = None,
    *,
    save: SaveOption = None,
    json: JsonOption = False,
    detailed_exitcode: DetailedOption = False,
    selection: SelectionOptions,
    refresh: Annotated[
        bool, typer.Option("--refresh/--no-refresh", help="Query the sites, or rely on the recorded state.")
    ] = True,
    locked: Annotated[bool, typer.Option("--locked", help="Refuse images that differ from pragmaspec.lock.")] = False,
    verbose: VerboseOption = False,
    accept: AcceptOptions,
    stack_options: StackOptions,
) -> None:
    """Show the changes of an apply, with reasons and risks. Changes nothing."""
    request = selection.request(accept)
    with stack_options.stack(spec_argument, accept_rollback=accept.accept_rollback, locked=locked) as stack:
        options = PreviewOptions(save, json, verbose, detailed_exitcode)
        preview(stack, lambda planner: planner.plan(request, refresh=refresh), options)
