"""The sequence plan, show, check, confirm, apply, report of every command that changes sites."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, NamedTuple, Self

from pragmaspec.cli.options import ChangeOptions, DryRunOptions
from pragmaspec.cli.preview import PreviewOptions, preview
from pragmaspec.cli.terminal.confirm import confirm
from pragmaspec.cli.terminal.plan_output import note_interrupted, show_backend_warnings, show_plan
from pragmaspec.cli.terminal.screen import err, out

if TYPE_CHECKING:
    from pragmaspec.engine.context import ApplyResult
    from pragmaspec.planning.plan import Plan
    from pragmaspec.stack.planning import Planner
    from pragmaspec.stack.run import Run
    from pragmaspec.stack.stack import Stack


class ApplyOptions(NamedTuple):
    """Options of an apply. ``allow``: risks allowed by name; ``ask``: True if the plan must be confirmed."""

    allow: tuple[str, ...] = ()
    ask: bool = False
    json: bool = False
    verbose: bool = False
    steal_lock: bool = False

    @classmethod
    def of(cls, change: ChangeOptions, allow: Iterable[str] | None = None, *, ask: bool = False) -> Self:
        """Combine the options of the command line."""
        return cls(tuple(allow or ()), ask=ask, json=change.json, verbose=change.verbose, steal_lock=change.steal_lock)


def apply_or_preview(
    stack: "Stack",
    command: str,
    plan_of: "Callable[[Planner], Plan]",
    options: ApplyOptions,
    dry_run: DryRunOptions,
    *,
    need: frozenset[str] | None = None,
) -> bool:
    """Show the plan for a dry run, else :func:`plan_and_apply` it. Return True if it was applied."""
    if not dry_run.requested:
        plan_and_apply(stack, command, plan_of, options, need=need)
        return True
    preview(stack, plan_of, PreviewOptions(dry_run.save, options.json, options.verbose, dry_run.detailed_exitcode), need=need)
    return False


def plan_and_apply(
    stack: "Stack",
    command: str,
    plan_of: "Callable[[Run], Plan]",
    options: ApplyOptions,
    *,
    lineage: str | None = None,
    need: frozenset[str] | None = None,
) -> None:
    """Plan under the stack's lock, show the plan, ask, and apply it. Raises as :meth:`pragmaspec.stack.run.Run.apply`.

    ``lineage``: of a saved plan, for a stack without a state; ``need``: see :meth:`pragmaspec.stack.stack.Stack.wanted`.
    Ends the command with status 1 if the answer is no.
    """
    from pragmaspec.cli.terminal.image_progress import ActionImageReporter, image_progress
    from pragmaspec.cli.terminal.progress import progress_reporter

    show_backend_warnings(stack)
    with stack.run(command, lineage=lineage, reporter=image_progress(), steal_lock=options.steal_lock, need=need) as run:
        interrupted = stack.interrupted()  # under the lock: before, a run in progress would count as interrupted
        plan = plan_of(run)
        if interrupted:
            note_interrupted(plan, to_stderr=options.json)
        show_plan(_without_refusals(plan), verbose=options.verbose, to_stderr=options.json)
        run.check(plan, options.allow)
        if options.ask and not plan.empty:
            confirm()
        with progress_reporter(err(), plan) as reporter:
            result = run.apply(plan, options.allow, reporter, ActionImageReporter(plan, reporter))
    if options.json:
        _print_json(plan, result)
    elif not plan.empty or result.removed_leftovers:
        _print_result(result)


def _without_refusals(plan: "Plan") -> "Plan":
    """Return ``plan`` without the warnings that ``check`` turns into errors immediately afterwards."""
    from msgspec.structs import replace

    from pragmaspec.planning.drift.attached_machines import IN_USE

    return replace(plan, warnings=tuple(each for each in plan.warnings if each.summary != IN_USE))


def _print_result(result: "ApplyResult") -> None:
    from pragmaspec.text import counted, duration

    out().line(f"Done: {counted(len(result.done), 'action')} in {duration(result.seconds)}.")
    if result.removed_leftovers:
        out().line(f"Removed leftovers of earlier runs: {', '.join(result.removed_leftovers)}.")


def _print_json(plan: "Plan", result: "ApplyResult") -> None:
    from pragmaspec.report.plan.json import plan_json

    form = {
        "kind": "applied",
        "format": 1,
        "seconds": round(result.seconds, 3),
        "done": list(result.done),
        "swept": list(result.removed_leftovers),
    }
    out().json({**form, "plan": plan_json(plan)})
