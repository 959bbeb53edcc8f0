"""A crew without threads: one job at a time, in an order that is drawn."""

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
from tests.simulation.chance import Chance
from tests.simulation.clock import SimClock


class SimCrew(Executor):
    def __init__(self, plan: Plan, context: ApplyContext, outlook: TargetState, chance: Chance, clock: SimClock) -> None:
        self._inbox: deque[Message | None] = deque()
        self._runner = ActionRunner(plan, context, outlook, self._inbox.append)
        self._chance = chance
        self._clock = clock
        self._jobs: list[tuple[Job, Record | None]] = []
        """What may be done next; with a record, its guest is to be waited for."""

    def observe(self, sites: Iterable[str]) -> Mapping[str, ObserveResult]:
        return {site: self._runner.observe(site) for site in sorted(sites)}

    def begin(self, jobs: Sequence[Job]) -> None:
        self._jobs += [(job, None) for job in jobs]

    def receive(self, timeout_s: float) -> Message | None:
        self._chance.may_crash()
        if not self._inbox and self._jobs:
            self._do(*self._jobs.pop(self._chance.dice.randrange(len(self._jobs))))
            self._chance.check_alive()
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

    def _do(self, job: Job, booted: Record | None) -> None:
        if booted is not None:
            self._runner.wait(job, booted)
        elif job.action.verb == "update":
            self._runner.update(job)
        elif (made := self._runner.call(job)) is not None:
            self._jobs.append((job, made.record))


def crew_of(chance: Chance, clock: SimClock) -> Callable[[Plan, ApplyContext, TargetState], SimCrew]:
    return lambda plan, context, outlook: SimCrew(plan, context, outlook, chance, clock)
