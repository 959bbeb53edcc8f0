"""The ``pragmaspec`` program: parses the command line, runs the command, and converts errors to messages and exit statuses."""

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from pragmaspec._version import __version__
from pragmaspec.cli.command_group import CONTEXT_SETTINGS, ordered_group
from pragmaspec.cli.terminal import screen
from pragmaspec.cli.terminal.streams import OutputError, discard_output, watch_streams

if TYPE_CHECKING:
    from pragmaspec.errors import PragmaspecError

EXIT_OUTPUT = 1
EXIT_USAGE = 64
EXIT_INTERRUPTED = 130
EXIT_PIPE = 141
"""The status that a shell reports for a command ended by SIGPIPE."""
COMPLETION = "_PRAGMASPEC_COMPLETE"
"""The variable set by shell completion, as derived by click from the program name; the command line is in another variable."""


class CommandEntry(NamedTuple):
    """A command in the help of the program."""

    module: str
    """Relative to ``pragmaspec.cli.commands``."""
    summary: str
    """The first sentence of the command's own help; at most 62 characters, to fit a line of 80 columns."""


COMMANDS = MappingProxyType(
    {
        "init": CommandEntry("init", "Write a first spec and its supporting files."),
        "validate": CommandEntry("validate", "Check the spec and every file it refers to."),
        "plan": CommandEntry("plan", "Show the changes of an apply, with reasons and risks."),
        "apply": CommandEntry("apply", "Apply the spec to its sites."),
        "boot": CommandEntry("boot", "Start a cluster without any other change."),
        "shutdown": CommandEntry("shutdown", "Shut a cluster down, computes before the frontend."),
        "clean": CommandEntry("clean", "Remove a cluster with its disks and networks, or volumes."),
        "list": CommandEntry("list", "List clusters, images, sites or volumes."),
        "show": CommandEntry("show", "Show the record of a node, allocation, image or volume."),
        "status": CommandEntry("status", "Query the sites for the status of all recorded nodes."),
        "ssh": CommandEntry("ssh", "Log in to a node, to a compute through its frontend."),
        "console": CommandEntry("console", "Attach to the serial console of a node, or print its log."),
        "ssh-config": CommandEntry("ssh", "Print an OpenSSH client configuration for all nodes."),
        "inventory": CommandEntry("inventory", "Print the nodes as an Ansible inventory."),
        "lock": CommandEntry("lock", "Pin every image of the spec in pragmaspec.lock."),
        "image": CommandEntry("image.group", "Fetch, inspect, convert and remove images on this machine."),
        "import": CommandEntry("import_repository", "Import images and clusters."),
        "state": CommandEntry("state.group", "Show, edit, restore and migrate the recorded state."),
        "orphans": CommandEntry("orphans", "Find objects of this stack that are in no state."),
        "key": CommandEntry("key", "Share the secret key of the stack with colleagues."),
        "schema": CommandEntry("schema", "Print the JSON Schema (2020-12) of the spec."),
        "forget": CommandEntry("forget", "Delete the state of a stack without any resources."),
        "help": CommandEntry("help", "Show the help of a command."),
    }
)
"""All commands, in the order of the help."""
_ClickError: type[Any] = typer.BadParameter.__mro__[2]
"""click's base class of usage errors. Not imported: depending on its version, typer uses one package or another."""


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
    """Return all commands, or only those needed for a command line that begins with ``word``: loading all of them is slow.

    If ``word`` is a command, that is the command alone; if it is a global option, the names and summaries of all commands.
    """
    app = typer.Typer(
        name="pragmaspec",
        cls=ordered_group(*COMMANDS),
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={**CONTEXT_SETTINGS, "max_content_width": 100},
    )
    app.callback()(_root)
    if word.startswith("-") and word != "--":
        for name, entry in COMMANDS.items():
            app.command(name, help=entry.summary)(_not_loaded)
        return app
    only = word in COMMANDS and word != "help"
    for module in [COMMANDS[word].module] if only else dict.fromkeys(entry.module for entry in COMMANDS.values()):
        import_module(f"pragmaspec.cli.commands.{module}").register(app)
    return app


def _not_loaded() -> None:
    """Placeholder for a command; never called, because a global option ends the program first."""


def main() -> None:
    """Run the command line of this process and exit with its status."""
    watch_streams()
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit status.

    A PragmaspecError is printed; any other exception is a bug and propagates with its traceback.
    """
    try:
        status = _run_command(list(arguments))
        sys.stdout.flush()
    except OutputError as error:
        return _report_output_error(error, EXIT_OUTPUT)
    return status


def _run_command(arguments: list[str]) -> int:
    line = arguments or ["--help"]
    word = "" if COMPLETION in os.environ else line[0]
    try:
        status = typer.main.get_command(command_line(word)).main(args=line, prog_name="pragmaspec", standalone_mode=False)
    except (KeyboardInterrupt, typer.Abort):
        screen.err().write("\n")
        return EXIT_INTERRUPTED
    except _ClickError as error:
        return _report_usage(error, json="--json" in arguments)
    except Exception as error:
        from pragmaspec.errors import PragmaspecError

        if not isinstance(error, PragmaspecError):
            raise
        try:
            _print_problems(error, json="--json" in arguments)
        except OutputError as output_error:
            return _report_output_error(output_error, error.exit_status)
        return error.exit_status
    return status if isinstance(status, int) else os.EX_OK


def _report_output_error(error: OutputError, status: int) -> int:
    """Print ``error`` if possible, and return the exit status: ``status`` unless the reader of the output is gone."""
    from pragmaspec.errors import Problem
    from pragmaspec.report.problems_text import problems_text

    if not error.reader_gone:
        detail = f"{error.stream.capitalize()}: {error.reason}. Completed actions are recorded."
        here = screen.err()
        with suppress(OutputError):  # if standard error fails too, only the exit status remains
            here.write(
                problems_text([Problem(summary="Output cannot be written", detail=detail)], width=here.width, colour=here.colour)
            )
    discard_output()
    return EXIT_PIPE if error.reader_gone else status


def _report_usage(error: Any, *, json: bool) -> int:  # noqa: ANN401 - see _ClickError
    """Print the usage error of a command line, and return its exit status."""
    from pragmaspec.net.urls import redact_passwords

    here = screen.err()
    if getattr(error, "ctx", None) is not None:
        here.write(f"{error.ctx.get_usage()}\n\n")
    here.line(f"error: {redact_passwords(error.format_message())}")
    if getattr(error, "ctx", None) is not None:
        here.line(f"  `{error.ctx.command_path} --help` lists the options and arguments.")
    if json:
        from pragmaspec.errors import UsageError
        from pragmaspec.report.json_forms import error_json

        try:
            screen.out().json(error_json(UsageError("Invalid command line", redact_passwords(error.format_message()))))
        except OutputError as output_error:
            return _report_output_error(output_error, EXIT_USAGE)
    return EXIT_USAGE


def _print_problems(error: "PragmaspecError", *, json: bool) -> None:
    from msgspec.structs import replace

    from pragmaspec.net.urls import redact_passwords
    from pragmaspec.report.json_forms import error_json
    from pragmaspec.report.problems_text import problems_text
    from pragmaspec.stack.quoting import with_quotes

    # Names may contain a URL with a password.
    error.problems = tuple(replace(problem, detail=redact_passwords(problem.detail)) for problem in error.problems)
    here = screen.err()
    here.write(problems_text(with_quotes(error.problems), width=here.width, colour=here.colour, unicode=here.unicode))
    if json:
        screen.out().json(error_json(error))
