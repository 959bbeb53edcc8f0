"""Doing a plan: intents first, then the calls in parallel, then their outcomes; whatever happens, what is known is recorded."""

from collections.abc import Callable
from functools import partial
from queue import Empty

from pragmaspec.engine.context import ApplyContext, ApplyResult
from pragmaspec.engine.events import ActionResult, Cancelled, Created, Job, Message, Progress
from pragmaspec.engine.preconditions import check_preconditions
from pragmaspec.engine.provider_calls import record_after
from pragmaspec.engine.reconcile.leftovers import may_have_leftovers
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
from pragmaspec.resources import Node
from pragmaspec.state_model import Record

_GROUP_S = 0.02
"""Outcomes that arrive within this time are made durable together."""

_FOREVER = float("inf")
_LONGEST_SLEEP_S = 1.0
"""A signal that another thread receives is noticed within this time."""


def apply_plan(plan: Plan, context: ApplyContext, reporter: Reporter | None = None) -> ApplyResult:
    """Do ``plan``. Returns when everything in it is done.

    Raises PlanRefusedError before anything is done when the plan is stale, or what it touches has changed since. Otherwise
    everything possible is done and recorded first, and then raises: ApplyIncompleteError with every failure, or
    InterruptedRunError. The next apply continues.
    """
    began = context.clock.monotonic()
    check_preconditions(plan, context.session.state, context.wanted, context.providers)
    if plan.empty and not any(may_have_leftovers(provider) for provider in context.providers.values()):
        return ApplyResult()
    run = _Run(plan, context, reporter or Reporter())
    with handle_signals(run.interrupt, run.unknown):
        run.work()
    return run.applied(context.clock.monotonic() - began)


class _Run:
    """One apply under way. Everything here happens in one thread; the crew's threads only send messages."""

    def __init__(self, plan: Plan, context: ApplyContext, reporter: Reporter) -> None:
        self._plan = plan
        self._context = context
        self._clock = context.clock
        self._session = context.session
        self._reporter = reporter
        self._news: list[Callable[[], None]] = []
        self._opening = Reconciler(plan, context)
        self._schedule = Schedule(plan.actions)
        self._crew = (context.crew or ThreadExecutor)(plan, context, TargetState(plan, self._opening.state, context.wanted))
        self._started: set[str] = set()
        self._in_flight: dict[str, Job] = {}
        self._done: list[str] = []
        self._swept: list[str] = []
        self._failures: list[Failure] = []
        self._skipped: list[Action] = []
        self._bug: BaseException | None = None
        self._unwritable: PragmaspecError | None = None
        self._signal = ""
        self._cut = 0
        self._give_up_at = _FOREVER

    def interrupt(self, why: str) -> None:
        """Start nothing new. May be called from a signal handler at any moment."""
        self._signal = self._signal or why
        self._crew.wake()

    def unknown(self) -> int:
        """How many operations have begun and not ended, or were cut off."""
        return len(self._in_flight) + self._cut

    def work(self) -> None:
        """Do everything that can be done, and record it."""
        try:
            self._open()
            if self._signal:
                self._stop()
            self._start_wave()
            while self._in_flight and self._clock.monotonic() < self._give_up_at:
                for message in self._gather():
                    self._take(message)
                if self._signal or self._bug or self._unwritable:
                    self._stop()
                self._start_wave()
            if not (self._signal or self._bug):
                self._swept += self._opening.sweep(self._crew, self._durably)
        finally:
            self._crew.close()
        if self._unwritable is None:
            reach("engine.before-checkpoint")
            self._durably(self._session.checkpoint)
            reach("engine.after-checkpoint")

    def applied(self, seconds: float) -> ApplyResult:
        """What came of it. Raises when that is not everything."""
        if self._bug is not None:
            raise self._bug
        if self._signal and (self.unknown() or self._skipped):
            raise interrupted_error(self._signal, self.unknown(), self._skipped, self._failures, self._context.wanted)
        if self._unwritable is not None and not self._failures and not self._done:
            raise self._unwritable
        if self._unwritable is not None or self._failures:
            raise incomplete_error(self._failures, self._skipped, self._unwritable, self._context.wanted)
        return ApplyResult(done=tuple(self._done), seconds=seconds, removed_leftovers=tuple(self._swept))

    def _open(self) -> None:
        """Look at the sites, and give up those that cannot be looked at."""
        reach("engine.begin")
        self._opening.look(self._crew)
        reach("engine.looked")
        self._durably(lambda: self._opening.record(self._crew, self._pause))
        reach("engine.recovered")
        for site, error in self._opening.failed.items():
            here = [action for action in self._plan.actions if action.resource.site == site]
            self._started.update(action.key for action in here)
            self._failures.append(Failure(here[0], error))
            self._tell(partial(self._reporter.failed, here[0], error))
            self._schedule.skip({action.key for action in here})
            self._skip(tuple(here[1:]), f"site {site} could not be looked at")
        self._swept += self._opening.sweep_first(self._durably)

    def _pause(self, seconds: float) -> None:
        """Let time pass, or a signal come."""
        until = self._clock.monotonic() + seconds
        while not self._signal and (left := until - self._clock.monotonic()) > 0:
            try:
                self._crew.receive(min(left, _LONGEST_SLEEP_S))
            except Empty:
                continue

    def _start_wave(self) -> None:
        """Record the intents of everything that is ready, with the outcomes that wait, in one durable write; then let go."""
        calls = [] if self._give_up_at < _FOREVER else self._ready_calls()
        earlier = [self._session.record(action.address) for action in calls]
        reach("engine.before-intents")
        if not self._durably(lambda: self._session.intend(calls)):
            self._stop()
            calls = []
        reach("engine.after-intents")
        jobs = [Job(action, record, self._session.record(action.address)) for action, record in zip(calls, earlier, strict=False)]
        for job in jobs:
            self._started.add(job.action.key)
            self._in_flight[job.action.key] = job
            self._tell(partial(self._reporter.started, job.action))
        self._crew.begin(jobs)
        self._publish()

    def _ready_calls(self) -> list[Action]:
        """The actions that may start now; those that need no call are done on the way."""
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

    def _gather(self) -> list[Message]:
        """The messages that arrive within a short time of the first one, or until nothing is under way any more."""
        group: list[Message] = []
        ended = 0
        until = min(self._give_up_at, self._clock.monotonic() + _LONGEST_SLEEP_S)
        while ended < len(self._in_flight) and (left := until - self._clock.monotonic()) > 0:
            try:
                message = self._crew.receive(left)
            except Empty:
                break
            if message is None:  # a signal
                break
            ended += isinstance(message, ActionResult)
            group.append(message)
            until = min(until, self._clock.monotonic() + _GROUP_S) if len(group) == 1 else until
        return group

    def _take(self, message: Message) -> None:
        """Note what a message says; it becomes durable, and people are told, with the next wave."""
        match message:
            case Progress(action, doing):
                self._tell(partial(self._reporter.progress, action, doing))
            case Created(action, outputs):
                self._session.bound(action, outputs)
                reach("engine.bound")
            case ActionResult(action, record, error) if (job := self._in_flight.pop(action.key, None)) is not None:
                reach(f"engine.{action.verb}.ended")
                if error is None:
                    self._session.outcome(action, self._opening.outcome(job, record))
                    self._succeeded(action)
                elif isinstance(error, PragmaspecError):
                    self._session.outcome(action, *self._after_error(job, record, error))
                    self._failed(action, error)
                elif isinstance(error, Cancelled):
                    self._cut += 1
                else:
                    self._bug = self._bug or error

    def _after_error(self, job: Job, record: Record | None, error: PragmaspecError) -> tuple[Record | PragmaspecError | None]:
        """What is known of an action that failed. An error says nothing of how far the call came, with one exception.

        Claims are made all or none, so where somebody else holds one, this call has made none; what is to be had instead is
        for the next plan to choose. The same where it would have cut others off.
        """
        if job.action.verb != "allocate" or not isinstance(error, SiteConflictError | SiteInUseError):
            return (error if record is None else record,)
        return (self._opening.granted(job.earlier) if job.earlier is not None else None,)

    def _succeeded(self, action: Action) -> None:
        self._schedule.done(action)
        self._done.append(action.key)
        self._tell(partial(self._reporter.finished, action))

    def _failed(self, action: Action, error: PragmaspecError) -> None:
        self._failures.append(Failure(action, error))
        self._tell(partial(self._reporter.failed, action, error))
        if isinstance(action.resource, Node) and action.resource.role == "frontend":
            self._crew.work.abandon_computes_of(action.resource, f"its frontend {action.resource.name} is not ready")
        self._skip(self._schedule.skip_after(action), f"{action.key} failed")
        self._schedule.done(action)

    def _stop(self) -> None:
        """Begin nothing more; what is under way has a limited time to end."""
        if self._give_up_at < _FOREVER:
            return
        limit_s = self._context.interrupt_limit_s
        if self._signal == "SIGTERM":
            limit_s = min(limit_s, self._context.terminate_limit_s)
        self._give_up_at = self._clock.monotonic() + limit_s
        for key in self._crew.stop():
            job = self._in_flight.pop(key)
            self._session.retract(job.action)
            self._started.discard(key)
        self._skip(self._schedule.skip_rest(self._started), "the run was stopped")

    def _skip(self, actions: tuple[Action, ...], because: str) -> None:
        self._skipped += actions
        for action in actions:
            self._tell(partial(self._reporter.skipped, action, because))

    def _durably(self, write: Callable[[], None]) -> bool:
        """Whether ``write`` succeeded; after one failure none is tried again."""
        if self._unwritable is None:
            try:
                write()
            except PragmaspecError as error:
                self._unwritable = error
        return self._unwritable is None

    def _tell(self, news: Callable[[], None]) -> None:
        self._news.append(news)

    def _publish(self) -> None:
        """Tell people what has been made durable. An output that was closed stops the run like a signal does."""
        news, self._news = self._news, []
        for tell in news:
            try:
                tell()
            except OSError:
                self._reporter = Reporter()
                self.interrupt("a closed output")
