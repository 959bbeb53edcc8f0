"""The command: parses the line, runs one function, and turns every error into words and an exit status."""

import os
import sys
from functools import cache
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pragmaspec import __version__
from pragmaspec.cli import screen
from pragmaspec.cli.ordered import ordered

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pragmaspec.errors import PragmaspecError

EXIT_USAGE = 64
EXIT_INTERRUPTED = 130
EXIT_PIPE = 141
"""What a shell reports of a command that SIGPIPE ended."""

COMMANDS = MappingProxyType(
    {
        "init": "init",
        "validate": "validate",
        "plan": "plan",
        "apply": "apply",
        "boot": "boot",
        "shutdown": "shutdown",
        "clean": "clean",
        "list": "listing",
        "show": "show",
        "status": "status",
        "ssh": "ssh",
        "console": "console",
        "ssh-config": "ssh",
        "inventory": "inventory",
        "lock": "lock",
        "image": "image",
        "import": "repository",
        "state": "state",
        "orphans": "orphans",
        "key": "key",
        "schema": "schema",
        "forget": "forget",
        "help": "help",
    }
)
"""Every command, in the order in which one meets them, and the module of this package that it stands in."""
_ClickError: type[Any] = typer.BadParameter.__mro__[2]
"""click's base of usage errors; typer has brought it from one package or another over time."""


def _version(wanted: bool) -> None:
    if wanted:
        screen.out().write(f"pragmaspec {__version__}\n")
        raise typer.Exit


def _root(
    *,
    version: Annotated[
        bool, typer.Option("--version", "-V", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Declarative virtual clusters: a frontend and N computes at any site, planned, reviewed and applied.

    Start with `pragmaspec init`, then `pragmaspec plan` and `pragmaspec apply`.
    """


@cache
def command_line(word: str = "") -> typer.Typer:
    """All commands; when ``word`` is the name of one, only that one: loading and describing the others takes time."""
    app = typer.Typer(
        name="pragmaspec",
        cls=ordered(*COMMANDS),
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    )
    app.callback()(_root)
    only = word in COMMANDS and word != "help"
    for module in [COMMANDS[word]] if only else dict.fromkeys(COMMANDS.values()):
        import_module(f"pragmaspec.cli.{module}").register(app)
    return app


def main() -> None:
    """Run this process's command line and leave with its exit status."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: "Sequence[str]") -> int:
    """The exit status of one command line. Errors for people are printed; anything else is a bug and keeps its traceback."""
    try:
        found = _status(list(arguments) or ["--help"])
        sys.stdout.flush()
    except BrokenPipeError:
        screen.drop_output()
        return EXIT_PIPE
    except SystemExit:  # click's answer to a closed pipe, and the end of --show-completion
        if not screen.closed:
            raise
        screen.drop_output()
        return EXIT_PIPE
    return found


def _status(arguments: list[str]) -> int:
    command = typer.main.get_command(command_line(arguments[0]))
    try:
        status_ = command.main(args=arguments, prog_name="pragmaspec", standalone_mode=False)
    except (KeyboardInterrupt, typer.Abort):
        screen.err().write("\n")
        return EXIT_INTERRUPTED
    except _ClickError as error:
        _print_usage(error)
        return EXIT_USAGE
    except Exception as error:
        from pragmaspec.errors import PragmaspecError

        if not isinstance(error, PragmaspecError):
            raise
        _print_problems(error, json="--json" in arguments)
        return error.exit_status
    return status_ if isinstance(status_, int) else os.EX_OK


def _print_usage(error: Any) -> None:  # noqa: ANN401 - see _ClickError
    here = screen.err()
    if getattr(error, "ctx", None) is not None:
        here.write(f"{error.ctx.get_usage()}\n\n")
    here.say(f"error: {error.format_message()}")
    if getattr(error, "ctx", None) is not None:
        here.say(f"  `{error.ctx.command_path} --help` shows what there is.")


def _print_problems(error: "PragmaspecError", *, json: bool) -> None:
    from pragmaspec.report.forms import error_form
    from pragmaspec.report.problems_text import problems_text
    from pragmaspec.stack.quoting import quoted

    here = screen.err()
    here.write(problems_text(quoted(error.problems), width=here.width, colour=here.colour, unicode=here.unicode))
    if json:
        screen.out().json(error_form(error))
