"""From a plan to its end, for every command that changes things: show it, refuse or ask, do it, say what came of it."""

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import typer

from pragmaspec.cli.screen import err, out

if TYPE_CHECKING:
    from pragmaspec.engine.context import Applied
    from pragmaspec.planning.plan import Plan
    from pragmaspec.stack.run import Run
    from pragmaspec.stack.stack import Stack

EXIT_DECLINED = 1


class Manner(NamedTuple):
    """How a command is to be done. ``allow``: risks allowed by name; ``ask``: whether somebody has to say yes first."""

    allow: tuple[str, ...] = ()
    ask: bool = False
    json: bool = False
    verbose: bool = False


def carry_out(
    stack: "Stack", command: str, plan_of: "Callable[[Run], Plan]", manner: Manner, lineage: str | None = None
) -> "Applied":
    """Plan under the stack's lock, show, ask, apply. ``lineage``: of a saved plan for a stack that has no state yet.

    Ends the command with status 1 when somebody says no. Raises what :meth:`pragmaspec.stack.run.Run.apply` raises.
    """
    from pragmaspec.cli.imaging import image_progress
    from pragmaspec.cli.progress import progress
    from pragmaspec.stack.run import check_allowed

    interrupted = stack.interrupted()
    with stack.run(command, lineage=lineage, reporter=image_progress()) as run:
        plan = plan_of(run)
        note_interrupted(plan, interrupted=interrupted, aside=manner.json)
        show_plan(plan, verbose=manner.verbose, aside=manner.json)
        check_allowed(plan, manner.allow)
        if manner.ask and not plan.empty:
            consent()
        with progress(err(), plan) as reporter:
            applied = run.apply(plan, manner.allow, reporter)
    if manner.json:
        _json(plan, applied)
    elif not plan.empty:
        _say(applied)
    return applied


def show_plan(plan: "Plan", *, verbose: bool = False, aside: bool = False) -> None:
    """Print the plan; ``aside``: to standard error, because standard output is for JSON."""
    from pragmaspec.report.plan_text import plan_text

    screen = err() if aside else out()
    screen.write(plan_text(plan, width=screen.width, colour=screen.colour, unicode=screen.unicode, verbose=verbose))


def note_interrupted(plan: "Plan", *, interrupted: bool, aside: bool = False) -> None:
    """Say why there is something to do although nobody changed the spec."""
    if interrupted and not plan.empty:
        (err() if aside else out()).say("An earlier run was interrupted; this plan also finishes what it began.")


def consent() -> None:
    """Ask, and end the command when the answer is no. Raises PlanRefusedError when nobody can be asked."""
    from pragmaspec.errors import PlanRefusedError, Problem

    if not sys.stdin.isatty():
        raise PlanRefusedError(
            Problem(
                summary="Nobody can be asked",
                detail="Standard input is not a terminal, so the plan was not applied. Say --auto-approve; or save the plan with "
                "`pragmaspec plan --out FILE`, look at it, and `pragmaspec apply FILE --auto-approve`.",
            )
        )
    err().write("\nApply this plan? [y/N] ")
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        err().say("Nothing was changed.")
        raise typer.Exit(EXIT_DECLINED)


def _say(applied: "Applied") -> None:
    from pragmaspec.report.units import counted, duration

    out().say(f"Done: {counted(len(applied.done), 'action')} in {duration(applied.seconds)}.")


def _json(plan: "Plan", applied: "Applied") -> None:
    from pragmaspec.report.plan_json import plan_form

    form = {"kind": "applied", "format": 1, "seconds": round(applied.seconds, 3), "done": list(applied.done)}
    out().json({**form, "plan": plan_form(plan)})
