"""``help``: the same as ``--help`` of a command."""

from typing import Annotated, Any

import typer

from pragmaspec.cli.options import examples
from pragmaspec.cli.terminal.screen import out


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command("help", epilog=examples("help", "help plan", "help list cluster"))(help_)


def _commands(ctx: typer.Context, incomplete: str) -> list[str]:
    """Complete the name of a command, or of a command in a group."""
    here: Any = ctx.parent.command if ctx.parent is not None else None
    for name in ctx.params.get("command") or ():
        here = getattr(here, "commands", {}).get(name)
    return [name for name in getattr(here, "commands", ()) if name.startswith(incomplete)]


def help_(
    context: typer.Context,
    command: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="COMMAND", help="The command. Default: the program.", autocompletion=_commands, show_default=False
        ),
    ] = None,
) -> None:
    """Show the help of a command."""
    here: Any = context.parent
    for name in command or ():
        found = here.command.get_command(here, name) if hasattr(here.command, "get_command") else None
        if found is None:
            raise typer.BadParameter(f"unknown command: {' '.join(command or ())}", ctx=context.parent)
        here = found.make_context(name, ["--help"], parent=here, resilient_parsing=True)
    out().write(here.get_help() + "\n")
