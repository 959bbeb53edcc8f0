"""Applies a plan: records intents, makes calls in parallel, records their outcomes. All known outcomes are always recorded."""

from collections.abc import Callable
from functools import partial
from queue import Empty

from pragmaspec.engine.context import ApplyContext, ApplyResult
from pragmaspec.engine.events import ActionResult, Cancelled, Created, Job, Message, Progress
from pragmaspec.engine.late_values import LateValues
from pragmaspec.engine.preconditions import check_preconditions
from pragmaspec.engine.provider_calls import record_after
from pragmaspec.engine.reconcile.leftovers import Leftover, may_have_leftovers
from pragmaspec.engine.reconcile.reconcile import Reconciler
from pragmaspec.engine.reporter import Reporter
from pragmaspec.engine.result import Failure, incomplete_error, interrupted_error
from pragmaspec.engine.schedule import Schedule
from pragmaspec.engine.signals import handle_signals
from pragmaspec.engine.target_state import TargetState
from pragmaspec.engine.workers import ThreadExecutor
from pragmaspec.errors import PragmaspecError, SiteConflictError, SiteInUseError
from pragmaspec.failpoints import reach
from pragmaspec.planning.plan import Action, Plan
from pragmaspec.resources import Node, Volume
from pragmaspec.state_model import Record

_GROUP_S = 0.02
"""Results that arrive within this time are written together."""

_NEVER = float("inf")
_MAX_SLEEP_S = 1.0
"""Limit of a sleep, so that a signal delivered to another thread is noticed."""


def apply_plan(plan: Plan, context: ApplyContext, reporter: Reporter | None = None) -> ApplyResult:
    """Apply ``plan``, and return when all of it is done.

    Raises PlanRefusedError before the first call if the plan is stale, or if an object that it touches has changed. Any other
    error is raised only after everything possible is done and recorded: ApplyIncompleteError with every failure, or
    InterruptedRunError. The next apply continues.
    """
    began = context.clock.monotonic()
    check_preconditions(plan, context.session.state, context.wanted, context.providers)
    if plan.empty and not any(may_have_leftovers(provider) for provider in context.providers.values()):
        return ApplyResult()
    run = _Run(plan, context, reporter or Reporter())
    with handle_signals(run.interrupt, run.count_unknown):
        run.execute()
    return run.result(context.clock.monotonic() - began)


class _Run:
    """An apply in progress. Everything here runs in one thread; worker threads only send messages."""

    def __init__(self, plan: Plan, context: ApplyContext, reporter: Reporter) -> None:
        self._plan = plan
        self._context = context
        self._clock = context.clock
        self._session = context.session
        self._reporter = reporter
        self._reports: list[Callable[[], None]] = []
        self._reconciler = Reconciler(plan, context)
        self._schedule = Schedule(plan.actions)
        target = TargetState(plan, self._reconciler.state, context.wanted)
        self._late = LateValues(plan, target, context.session)
        self._executor = (context.executor or ThreadExecutor)(plan, context, target)
        self._started: set[str] = set()
        self._in_flight: dict[str, Job] = {}
        self._done: list[str] = []
        self._removed_leftovers: list[str] = []
        self._failures: list[Failure] = []
        self._skipped: list[Action] = []
        self._bug: BaseException | None = None
        self._write_error: PragmaspecError | None = None
        self._signal = ""
        self._cancelled = 0
        self._give_up_at = _NEVER

    def interrupt(self, reason: str) -> None:
        """Start nothing more. Safe in a signal handler."""
        self._signal = self._signal or reason
        self._executor.wake()

    def count_unknown(self) -> int:
        """Number of operations that have begun and whose outcome is not known."""
        return len(self._in_flight) + self._cancelled

    def execute(self) -> None:
        """Do everything that can be done, and record it."""
        try:
            self._reconcile()
            if self._signal:
                self._stop()
            self._start_ready()
            while self._in_flight and self._clock.monotonic() < self._give_up_at:
                for message in self._receive_group():
                    self._handle(message)
                if self._signal or self._bug or self._write_error:
                    self._stop()
                self._start_ready()
            if not (self._signal or self._bug):
                self._remove(self._reconciler.find_new_leftovers(self._executor))
        finally:
            self._executor.close()
        if self._write_error is None:
            reach("engine.before-checkpoint")
            self._try_write(self._session.checkpoint)
            reach("engine.after-checkpoint")

    def result(self, seconds: float) -> ApplyResult:
        """Return the result of a complete apply; raise the error of any other."""
        if self._bug is not None:
            raise self._bug
        if self._signal and (self.count_unknown() or self._skipped):
            raise interrupted_error(self._signal, self.count_unknown(), self._skipped, self._failures, self._context.wanted)
        if self._write_error is not None and not self._failures and not self._done:
            raise self._write_error
        if self._write_error is not None or self._failures:
            raise incomplete_error(self._failures, self._skipped, self._write_error, self._context.wanted)
        return ApplyResult(done=tuple(self._done), seconds=seconds, removed_leftovers=tuple(self._removed_leftovers))

    def _reconcile(self) -> None:
        """Bring the records in line with the sites; skip the sites that cannot be observed."""
        reach("engine.begin")
        self._reconciler.observe(self._executor)
        reach("engine.looked")
        self._try_write(lambda: self._reconciler.update_records(self._executor, self._pause))
        reach("engine.recovered")
        for site, error in self._reconciler.unobserved.items():
            first, *others = [action for action in self._plan.actions if action.resource.site == site]
            keys = {first.key, *(action.key for action in others)}
            self._started |= keys
            self._failures.append(Failure(first, error))
            self._report(partial(self._reporter.failed, first, error))
            self._schedule.skip(keys)
            self._skip(tuple(others), f"site {site} could not be observed")
        self._remove(self._reconciler.find_leftovers())

    def _remove(self, leftovers: list[tuple[str, Leftover]]) -> None:
        """Remove leftovers, once the records by which they are recognised as such are durable."""
        if leftovers and self._try_write(self._session.flush):
            self._removed_leftovers += self._reconciler.remove(leftovers)

    def _pause(self, seconds: float) -> None:
        """Sleep until the time is over or a signal arrives."""
        until = self._clock.monotonic() + seconds
        while not self._signal and (left := until - self._clock.monotonic()) > 0:
            try:
                self._executor.receive(min(left, _MAX_SLEEP_S))
            except Empty:
                continue

    def _start_ready(self) -> None:
        """Record the intents of all actions that are ready and the pending outcomes in one durable write, then start them."""
        actions = [] if self._give_up_at < _NEVER else list(map(self._late.completed, self._ready_actions()))
        earlier = {action.key: self._session.record(action.address) for action in actions}
        reach("engine.before-intents")
        if not self._try_write(lambda: self._session.intend(actions)):
            self._stop()
            actions = []
        reach("engine.after-intents")
        jobs = [Job(action, earlier[action.key], self._session.record(action.address)) for action in actions]
        for job in jobs:
            self._started.add(job.action.key)
            self._in_flight[job.action.key] = job
            self._report(partial(self._reporter.started, job.action))
        self._executor.begin(jobs)
        self._publish_reports()

    def _ready_actions(self) -> list[Action]:
        """Return the actions that can start now. Those that need no call are completed on the way."""
        calls: list[Action] = []
        while ready := self._schedule.ready():
            for action in ready:
                if action.verb != "record":
                    calls.append(action)
                    continue
                earlier = self._session.record(action.address)
                self._started.add(action.key)
                self._session.outcome(action, record_after(action, earlier, earlier.outputs if earlier else ()))
                self._succeeded(action)
        return calls

    def _receive_group(self) -> list[Message]:
        """Return the messages that arrive shortly after the first one, or until nothing is in flight any more."""
        group: list[Message] = []
        ended = 0
        until = min(self._give_up_at, self._clock.monotonic() + _MAX_SLEEP_S)
        while ended < len(self._in_flight) and (left := until - self._clock.monotonic()) > 0:
            try:
                message = self._executor.receive(left)
            except Empty:
                break
            if message is None:  # a signal
                break
            ended += isinstance(message, ActionResult)
            group.append(message)
            until = min(until, self._clock.monotonic() + _GROUP_S) if len(group) == 1 else until
        return group

    def _handle(self, message: Message) -> None:
        """Note the content of ``message``. It becomes durable, and is reported, with the next write."""
        match message:
            case Progress(action, activity):
                self._report(partial(self._reporter.progress, action, activity))
            case Created(action, outputs):
                self._session.bound(action, outputs)
                reach("engine.bound")
            case ActionResult(action, record, error) if (job := self._in_flight.pop(action.key, None)) is not None:
                reach(f"engine.{action.verb}.ended")
                if error is None:
                    self._session.outcome(action, self._reconciler.final_record(job, record))
                    self._succeeded(action)
                elif isinstance(error, PragmaspecError):
                    self._session.outcome(action, self._outcome_after_error(job, record, error))
                    self._failed(action, error)
                elif isinstance(error, Cancelled):
                    self._cancelled += 1
                else:
                    self._bug = self._bug or error

    def _outcome_after_error(self, job: Job, record: Record | None, error: PragmaspecError) -> Record | PragmaspecError | None:
        """The outcome to record for a failed action. Normally an error does not tell whether the call took effect.

        Claims are made all or none: after a conflict with another owner this call has made none, and the next plan chooses
        others. The same holds after a refusal to cut off foreign machines.
        """
        if job.action.verb != "allocate" or not isinstance(error, SiteConflictError | SiteInUseError):
            return error if record is None else record
        if isinstance(job.action.resource, Volume):
            return job.earlier
        return self._reconciler.granted_record(job.earlier) if job.earlier is not None else None

    def _succeeded(self, action: Action) -> None:
        self._schedule.done(action)
        self._done.append(action.key)
        self._report(partial(self._reporter.finished, action))

    def _failed(self, action: Action, error: PragmaspecError) -> None:
        self._failures.append(Failure(action, error))
        self._report(partial(self._reporter.failed, action, error))
        if action.verb == "boot" and isinstance(action.resource, Node) and action.resource.role == "frontend":
            self._executor.abandon_computes_of(action.resource, f"its frontend {action.resource.name} is not ready")
        self._skip(self._schedule.skip_after(action, partial(self._late.is_answered, action)), f"{action.key} failed")
        self._schedule.done(action)

    def _stop(self) -> None:
        """Start nothing more; operations in flight have a limited time to end."""
        if self._give_up_at < _NEVER:
            return
        limit_s = self._context.interrupt_limit_s
        if self._signal == "SIGTERM":
            limit_s = min(limit_s, self._context.terminate_limit_s)
        self._give_up_at = self._clock.monotonic() + limit_s
        for key in self._executor.stop():
            job = self._in_flight.pop(key)
            self._session.retract(job.action)
            self._started.discard(key)
        self._skip(self._schedule.skip_rest(self._started), "the run was stopped")

    def _skip(self, actions: tuple[Action, ...], reason: str) -> None:
        self._skipped += actions
        for action in actions:
            self._report(partial(self._reporter.skipped, action, reason))

    def _try_write(self, write: Callable[[], None]) -> bool:
        """Return True if ``write`` succeeded. After one failure, no further write is attempted."""
        if self._write_error is None:
            try:
                write()
            except PragmaspecError as error:
                self._write_error = error
        return self._write_error is None

    def _report(self, report: Callable[[], None]) -> None:
        self._reports.append(report)

    def _publish_reports(self) -> None:
        """Report what is now durable. A closed output stops the run like a signal."""
        reports, self._reports = self._reports, []
        for report in reports:
            try:
                report()
            except OSError:
                self._reporter = Reporter()
                self.interrupt("a closed output")
