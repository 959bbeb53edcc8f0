"""From a plan to its end, for every command that changes things: show it, refuse or ask, do it, say what came of it."""

import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple, Self

import typer

from pragmaspec.cli.options import ChangeOptions, DryRunOptions
from pragmaspec.cli.terminal.screen import err, out
from pragmaspec.cli.terminal.streams import OutputError

if TYPE_CHECKING:
    from pragmaspec.engine.context import ApplyResult
    from pragmaspec.errors import Problem
    from pragmaspec.planning.plan import Plan
    from pragmaspec.stack.planning import Planner
    from pragmaspec.stack.run import Run
    from pragmaspec.stack.stack import Stack

EXIT_DECLINED = 1
EXIT_INTERRUPTED = 130
_SAVED = "; or save the plan with `pragmaspec plan --out FILE`, look at it, and `pragmaspec apply FILE --auto-approve`"


class ApplyOptions(NamedTuple):
    """How a command is to be done. ``allow``: risks allowed by name; ``ask``: whether somebody has to say yes first."""

    allow: tuple[str, ...] = ()
    ask: bool = False
    json: bool = False
    verbose: bool = False
    steal_lock: bool = False

    @classmethod
    def of(cls, doing: ChangeOptions, allow: Iterable[str] = (), *, ask: bool = False) -> Self:
        """What the options say."""
        return cls(tuple(allow), ask=ask, json=doing.json, verbose=doing.verbose, steal_lock=doing.steal_lock)


def apply_or_preview(
    stack: "Stack",
    command: str,
    plan_of: "Callable[[Planner], Plan]",
    manner: ApplyOptions,
    previewing: DryRunOptions,
    *,
    need: frozenset[str] | None = None,
) -> bool:
    """Only show the plan where that is asked for, else :func:`plan_and_apply`; whether it was done."""
    if not previewing.dry_run:
        plan_and_apply(stack, command, plan_of, manner, need=need)
        return True
    from pragmaspec.cli.preview import preview

    preview(
        stack,
        plan_of,
        need=need,
        save=previewing.save,
        json=manner.json,
        verbose=manner.verbose,
        detailed_exitcode=previewing.detailed_exitcode,
    )
    return False


def plan_and_apply(
    stack: "Stack",
    command: str,
    plan_of: "Callable[[Run], Plan]",
    manner: ApplyOptions,
    lineage: str | None = None,
    *,
    need: frozenset[str] | None = None,
) -> "ApplyResult":
    """Plan under the stack's lock, show, ask, apply. ``lineage``: of a saved plan for a stack that has no state yet.

    ``need``: as of :meth:`pragmaspec.stack.stack.Stack.wanted`.

    Ends the command with status 1 when somebody says no. Raises what :meth:`pragmaspec.stack.run.Run.apply` raises.
    """
    from pragmaspec.cli.terminal.image_progress import ActionImageReporter, image_progress
    from pragmaspec.cli.terminal.plain_progress import progress

    show_backend_warnings(stack)
    with stack.run(command, lineage=lineage, reporter=image_progress(), steal_lock=manner.steal_lock, need=need) as run:
        interrupted = stack.interrupted()  # only now: until it had ended, a run that was waited for looked like one
        plan = plan_of(run)
        note_interrupted(plan, interrupted=interrupted, aside=manner.json)
        show_plan(_without_refusals(plan), verbose=manner.verbose, aside=manner.json)
        run.check(plan, manner.allow)
        if manner.ask and not plan.empty:
            confirm()
        with progress(err(), plan) as reporter:
            applied = run.apply(plan, manner.allow, reporter, ActionImageReporter(plan, reporter))
    if manner.json:
        _json(plan, applied)
    elif not plan.empty or applied.removed_leftovers:
        _say(applied)
    return applied


def _without_refusals(plan: "Plan") -> "Plan":
    """``plan`` without the warning of what is checked, and refused, right after it is shown."""
    from msgspec.structs import replace

    from pragmaspec.planning.drift.attached_machines import IN_USE

    return replace(plan, warnings=tuple(each for each in plan.warnings if each.summary != IN_USE))


def show_backend_warnings(stack: "Stack") -> None:
    """Say what is not as safe as it should be where the state is."""
    for warning in stack.store.warnings():
        err().say(f"warning: {warning}")


def show_plan(plan: "Plan", *, verbose: bool = False, aside: bool = False) -> None:
    """Print the plan; ``aside``: to standard error, because standard output is for JSON."""
    from pragmaspec.report.plan.text import plan_text

    show_warnings(plan.warnings)
    screen = err() if aside else out()
    screen.write(plan_text(plan, width=screen.width, colour=screen.colour, unicode=screen.unicode, verbose=verbose))


def show_warnings(warnings: "Sequence[Problem]") -> None:
    """Print what people are warned of, with the lines of the spec that cause it, to standard error."""
    if warnings:
        from pragmaspec.report.problems_text import problems_text
        from pragmaspec.stack.quoting import with_quotes

        screen = err()
        text = problems_text(with_quotes(warnings), width=screen.width, colour=screen.colour, unicode=screen.unicode)
        with suppress(OutputError):  # results need only standard output
            screen.write(f"{text}\n")


def note_running(stack: "Stack", *, aside: bool = False) -> bool:
    """Say that another run holds the lock, if one does; whether it does. Some places do not notice that a holder has died."""
    holder = stack.store.lock_holder()
    if holder is not None:
        from pragmaspec.report.state_text import holder_description

        (err() if aside else out()).say(
            f"Another run is at work, or has died: {holder_description(holder)}. This plan also finishes what it began."
        )
    return holder is not None


def note_interrupted(plan: "Plan", *, interrupted: bool, aside: bool = False) -> None:
    """Say why there is something to do although nobody changed the spec."""
    if interrupted and not plan.empty:
        (err() if aside else out()).say("An earlier run was interrupted; this plan also finishes what it began.")


def confirm(question: str = "Apply this plan?", otherwise: str = _SAVED) -> None:
    """Ask, and end the command when the answer is no, or Ctrl-C.

    Raises PlanRefusedError, with ``otherwise``, when nobody can be asked.
    """
    from pragmaspec.errors import PlanRefusedError

    if not sys.stdin.isatty():
        raise PlanRefusedError(
            "Nobody can be asked", f"Standard input is not a terminal, so nothing was changed. Say --auto-approve{otherwise}."
        )
    try:
        err().write(f"\n{question} [y/N] ")
        answer, status = sys.stdin.readline(), EXIT_DECLINED
    except KeyboardInterrupt:
        answer, status = "", EXIT_INTERRUPTED
    if answer.strip().lower() not in ("y", "yes"):
        if not answer:  # the cursor still stands behind the question
            err().write("\n")
        err().say("Nothing was changed.")
        raise typer.Exit(status)


def _say(applied: "ApplyResult") -> None:
    from pragmaspec.text import counted, duration

    out().say(f"Done: {counted(len(applied.done), 'action')} in {duration(applied.seconds)}.")
    if applied.removed_leftovers:
        out().say(f"Removed what calls of earlier runs had left over: {', '.join(applied.removed_leftovers)}.")


def _json(plan: "Plan", applied: "ApplyResult") -> None:
    from pragmaspec.report.plan.json import plan_json

    form = {
        "kind": "applied",
        "format": 1,
        "seconds": round(applied.seconds, 3),
        "done": list(applied.done),
        "swept": list(applied.removed_leftovers),
    }
    out().json({**form, "plan": plan_json(plan)})
