"""The command: parses the line, runs one function, and turns every error into words and an exit status.

Groups of commands in the order in which one meets them.
"""

import os
import sys
from contextlib import suppress
from functools import cache
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer
import typer.core

from pragmaspec import __version__
from pragmaspec.cli.terminal import screen
from pragmaspec.cli.terminal.streams import OutputError, discard_output, watch_streams


def ordered_group(*names: str) -> type[typer.core.TyperGroup]:
    """A group that lists its commands as ``names`` has them, and not groups last."""

    class Ordered(typer.core.TyperGroup):
        def list_commands(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]  # click's Context has moved about
            return sorted(super().list_commands(ctx), key=names.index)

    return Ordered


if TYPE_CHECKING:
    from collections.abc import Sequence

    from pragmaspec.errors import PragmaspecError

EXIT_OUTPUT = 1
EXIT_USAGE = 64
EXIT_INTERRUPTED = 130
EXIT_PIPE = 141
"""What a shell reports of a command that SIGPIPE ended."""
COMPLETION = "_PRAGMASPEC_COMPLETE"
"""The variable with which a shell's completion asks, as click derives it from the command's name; the line is elsewhere then."""


class CommandEntry(NamedTuple):
    """Where a command stands, and what the list of commands says of it."""

    module: str
    """In ``pragmaspec.cli.commands``."""
    summary: str
    """The first sentence of the command's own help, at most 62 characters: one line of 80 columns."""


COMMANDS = MappingProxyType(
    {
        "init": CommandEntry("init", "Write a first spec and what goes with it."),
        "validate": CommandEntry("validate", "Check the spec with every file it points to."),
        "plan": CommandEntry("plan", "Show what apply would do, why, and at what risk."),
        "apply": CommandEntry("apply", "Make the sites be as the spec says."),
        "boot": CommandEntry("boot", "Let a cluster run, and touch nothing else of it."),
        "shutdown": CommandEntry("shutdown", "Shut a cluster down, computes before the frontend."),
        "clean": CommandEntry("clean", "Remove a cluster with its disks, networks and addresses."),
        "list": CommandEntry("list", "List clusters, images or sites."),
        "show": CommandEntry("show", "Show all that is recorded of one node, allocation or image."),
        "status": CommandEntry("status", "Ask the sites how the recorded nodes are now."),
        "ssh": CommandEntry("ssh", "Log in to a node, to a compute through its frontend."),
        "console": CommandEntry("console", "Join the serial console of a node, or print its log."),
        "ssh-config": CommandEntry("ssh", "Print an OpenSSH client configuration for all nodes."),
        "inventory": CommandEntry("inventory", "Print the nodes as an Ansible inventory."),
        "lock": CommandEntry("lock", "Pin the bytes of every image in pragmaspec.lock."),
        "image": CommandEntry("image.group", "Fetch, inspect, convert and remove images on this machine."),
        "import": CommandEntry("import_repository", "Take images and clusters over from elsewhere."),
        "state": CommandEntry("state.group", "Look at the recorded state, correct it, or keep it elsewhere."),
        "orphans": CommandEntry("orphans", "Show what carries our marks at the sites and is in no state."),
        "key": CommandEntry("key", "Share the key from which all keys of the stack follow."),
        "schema": CommandEntry("schema", "Print the JSON Schema (2020-12) of the spec."),
        "forget": CommandEntry("forget", "Remove the recorded state of a stack that has nothing left."),
        "help": CommandEntry("help", "Explain a command, or all of them."),
    }
)
"""Every command, in the order in which one meets them."""
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
    """All commands; or what a line that begins with ``word`` needs of them, because loading and describing them takes time.

    That is one command when ``word`` is its name, and their names and summaries when it is an option of the whole.
    """
    app = typer.Typer(
        name="pragmaspec",
        cls=ordered_group(*COMMANDS),
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    )
    app.callback()(_root)
    if word.startswith("-") and word != "--":
        for name, entry in COMMANDS.items():
            app.command(name, help=entry.summary)(_named_only)
        return app
    only = word in COMMANDS and word != "help"
    for module in [COMMANDS[word].module] if only else dict.fromkeys(entry.module for entry in COMMANDS.values()):
        import_module(f"pragmaspec.cli.commands.{module}").register(app)
    return app


def _named_only() -> None:
    """No command: an option of the whole has ended the line before."""


def main() -> None:
    """Run this process's command line and leave with its exit status."""
    watch_streams()
    sys.exit(run(sys.argv[1:]))


def run(arguments: "Sequence[str]") -> int:
    """The exit status of one command line. Errors for people are printed; anything else is a bug and keeps its traceback."""
    try:
        found = _status(list(arguments))
        sys.stdout.flush()
    except OutputError as error:
        return _unwritten(error, EXIT_OUTPUT)
    return found


def _status(arguments: list[str]) -> int:
    line = arguments or ["--help"]
    word = "" if COMPLETION in os.environ else line[0]
    try:
        status_ = typer.main.get_command(command_line(word)).main(args=line, prog_name="pragmaspec", standalone_mode=False)
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
        try:
            _print_problems(error, json="--json" in arguments)
        except OutputError as unwritten:
            return _unwritten(unwritten, error.exit_status)
        return error.exit_status
    return status_ if isinstance(status_, int) else os.EX_OK


def _unwritten(error: OutputError, status: int) -> int:
    """The exit status when not all could be printed; ``status``: what it is unless the reader has gone."""
    from pragmaspec.errors import Problem
    from pragmaspec.report.problems_text import problems_text

    if not error.unread:
        detail = f"{error.stream.capitalize()}: {error.why}. What was done before that is recorded."
        here = screen.err()
        with suppress(OutputError):  # then nobody is left to tell, and only the exit status says it
            here.write(
                problems_text([Problem(summary="Output cannot be written", detail=detail)], width=here.width, colour=here.colour)
            )
    discard_output()
    return EXIT_PIPE if error.unread else status


def _print_usage(error: Any) -> None:  # noqa: ANN401 - see _ClickError
    from pragmaspec.net.urls import redact_passwords

    here = screen.err()
    if getattr(error, "ctx", None) is not None:
        here.write(f"{error.ctx.get_usage()}\n\n")
    here.say(f"error: {redact_passwords(error.format_message())}")
    if getattr(error, "ctx", None) is not None:
        here.say(f"  `{error.ctx.command_path} --help` shows what there is.")


def _print_problems(error: "PragmaspecError", *, json: bool) -> None:
    from msgspec.structs import replace

    from pragmaspec.net.urls import redact_passwords
    from pragmaspec.report.json_forms import error_json
    from pragmaspec.report.problems_text import problems_text
    from pragmaspec.stack.quoting import with_quotes

    # A password may have come as part of a name, where no URL was to be expected.
    error.problems = tuple(replace(problem, detail=redact_passwords(problem.detail)) for problem in error.problems)
    here = screen.err()
    here.write(problems_text(with_quotes(error.problems), width=here.width, colour=here.colour, unicode=here.unicode))
    if json:
        screen.out().json(error_json(error))
