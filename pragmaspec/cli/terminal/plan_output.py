"""Printing of plans, warnings, and notes about other runs.

``to_stderr`` prints to standard error, because standard output is reserved for JSON or the plan document.
"""

from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from pragmaspec.cli.terminal.screen import err, out
from pragmaspec.cli.terminal.streams import OutputError

if TYPE_CHECKING:
    from pragmaspec.errors import Problem
    from pragmaspec.planning.plan import Plan
    from pragmaspec.stack.stack import Stack


def show_plan(plan: "Plan", *, verbose: bool = False, to_stderr: bool = False) -> None:
    """Print the plan, after its warnings."""
    from pragmaspec.report.plan.text import plan_text

    show_warnings(plan.warnings)
    screen = err() if to_stderr else out()
    screen.write(plan_text(plan, width=screen.width, colour=screen.colour, unicode=screen.unicode, verbose=verbose))


def show_warnings(warnings: "Sequence[Problem]") -> None:
    """Print ``warnings`` to standard error, with the lines of the spec that cause them."""
    if warnings:
        from pragmaspec.report.problems_text import problems_text
        from pragmaspec.stack.quoting import with_quotes

        screen = err()
        text = problems_text(with_quotes(warnings), width=screen.width, colour=screen.colour, unicode=screen.unicode)
        with suppress(OutputError):  # warnings are optional, results are not
            screen.write(f"{text}\n")


def show_backend_warnings(stack: "Stack") -> None:
    """Print the warnings of the state backend, such as a database without ``fsync``."""
    for warning in stack.store.backend.warnings():
        err().line(f"warning: {warning}")


def note_running(stack: "Stack", *, to_stderr: bool = False) -> bool:
    """Print a note if a lock is held, and return True. Not every backend detects that the holder has died."""
    holder = stack.store.backend.holder()
    if holder is not None:
        from pragmaspec.report.state_text import holder_description

        (err() if to_stderr else out()).line(
            f"Another run is in progress, or has died: {holder_description(holder)}. This plan also completes its actions."
        )
    return holder is not None


def note_interrupted(plan: "Plan", *, to_stderr: bool = False) -> None:
    """Print that the actions of an interrupted run are part of the plan, which explains changes without a new spec."""
    if not plan.empty:
        (err() if to_stderr else out()).line("An earlier run was interrupted; this plan also completes its actions.")
