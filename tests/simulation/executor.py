"""An executor without threads: one job at a time, in random order."""

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from queue import Empty

from pragmaspec.engine.action_runner import ActionRunner
from pragmaspec.engine.context import ApplyContext
from pragmaspec.engine.events import ActionResult, Cancelled, Job, Message, ObserveResult
from pragmaspec.engine.executor import Executor
from pragmaspec.engine.target_state import TargetState
from pragmaspec.planning.plan import Plan
from pragmaspec.resources import Node
from pragmaspec.state_model import Record
from tests.simulation.clock import SimulatedClock
from tests.simulation.faults import FaultInjector


class SimulatedExecutor(Executor):
    def __init__(
        self, plan: Plan, context: ApplyContext, target: TargetState, faults: FaultInjector, clock: SimulatedClock
    ) -> None:
        self._inbox: deque[Message | None] = deque()
        self._runner = ActionRunner(plan, context, target, self._inbox.append)
        self._faults = faults
        self._clock = clock
        self._jobs: list[tuple[Job, Record | None]] = []
        """The jobs that can run next; one with a record waits for its guest."""

    def observe(self, sites: Iterable[str]) -> Mapping[str, ObserveResult]:
        return {site: self._runner.observe(site) for site in sorted(sites)}

    def begin(self, jobs: Sequence[Job]) -> None:
        self._jobs += [(job, None) for job in jobs]

    def receive(self, timeout_s: float) -> Message | None:
        self._faults.maybe_crash()
        if not self._inbox and self._jobs:
            self._run(*self._jobs.pop(self._faults.random.randrange(len(self._jobs))))
            self._faults.check_alive()
        if self._inbox:
            return self._inbox.popleft()
        self._clock.sleep(timeout_s)
        raise Empty

    def wake(self) -> None:
        self._inbox.append(None)

    def abandon_computes_of(self, frontend: Node, reason: str) -> None:
        self._runner.abandon_computes_of(frontend, reason)

    def stop(self) -> list[str]:
        self._runner.cancel()
        keys = [job.action.key for job, record in self._jobs if record is None]
        self._inbox.extend(ActionResult(job.action, None, Cancelled()) for job, record in self._jobs if record is not None)
        self._jobs.clear()
        return keys

    def close(self) -> None:
        pass

    def _run(self, job: Job, booted: Record | None) -> None:
        if booted is not None:
            self._runner.wait(job, booted)
        elif job.action.verb == "update":
            self._runner.update(job)
        elif (created := self._runner.call(job)) is not None:
            self._jobs.append((job, created.record))


def executor_factory(
    faults: FaultInjector, clock: SimulatedClock
) -> Callable[[Plan, ApplyContext, TargetState], SimulatedExecutor]:
    return lambda plan, context, target: SimulatedExecutor(plan, context, target, faults, clock)
