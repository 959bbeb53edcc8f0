"""Runs one action from start to end: the provider call, then the wait for the guest."""

import threading
from collections import Counter
from collections.abc import Callable, Mapping

from msgspec.structs import replace

from pragmaspec.delivery import SEED_AND_FILES
from pragmaspec.engine.context import ApplyContext
from pragmaspec.engine.events import ActionResult, Cancelled, Created, CreatedNode, Job, Message, ObserveResult, Progress
from pragmaspec.engine.power_watch import PowerWatch
from pragmaspec.engine.provider_calls import ProviderCalls, SiteTools, delivery_to, guests_of, record_after
from pragmaspec.engine.readiness import ReadinessWait, wait_until_ready
from pragmaspec.engine.reconcile.recovery import bind_created
from pragmaspec.engine.target_state import TargetState
from pragmaspec.errors import PragmaspecError, SiteError, SiteUnreachableError
from pragmaspec.failpoints import reach
from pragmaspec.planning.late.values import names_values, unknown_values
from pragmaspec.planning.observed import Observations
from pragmaspec.planning.plan import Action, Plan
from pragmaspec.resources import Node, Outputs
from pragmaspec.state.journal_entries import needs_guest_update, without_guest_info
from pragmaspec.state_model import Record
from pragmaspec.text import joined

_MAX_EXTRA_LISTINGS = 16
"""Listings per site and run to look up creations without an answer. The next run resolves all others with one listing."""


class ActionRunner:
    """Runs jobs and sends messages about them. One instance per apply; thread-safe."""

    def __init__(self, plan: Plan, context: ApplyContext, target: TargetState, send: Callable[[Message], None]) -> None:
        self.tools = _site_tools(plan, context, target)
        self.builds_seeds = _builds_seeds(plan, self.tools)
        self._send = send
        self._clock = context.clock
        self._lineage = target.state.lineage
        self._session = context.session
        self._cancelled = threading.Event()
        self._abandoned: dict[tuple[str, str], str] = {}
        self._extra_listings: Counter[str] = Counter()
        self._calls = ProviderCalls(plan, context, target, self.tools)

    def observe(self, site: str) -> ObserveResult:
        """List the objects of this stack at ``site``."""
        try:
            return self.tools[site].provider.observe(self._lineage, self._session.state)
        except PragmaspecError as error:
            return error

    def call(self, job: Job) -> CreatedNode | None:
        """Make the provider call of a job. Returns the created node if its guest has to become ready before the job ends."""
        action = job.action
        try:
            self._calls.check(action, job.earlier)
        except PragmaspecError as error:
            self._send(ActionResult(action, job.earlier, error))  # no call was made, so the earlier record is still right
            return None
        try:
            reach(f"engine.{action.verb}.leaves")
            outputs = self._call_provider(job)
            reach(f"engine.{action.verb}.answered")
        except BaseException as error:  # noqa: BLE001 - handled by the apply thread
            self._send(ActionResult(action, None, error))
            return None
        record = record_after(action, job.begun, outputs)
        if names_values(outputs):
            reach("engine.assigned")
        if record is not None and action.verb in ("boot", "allocate") and (missing := unknown_values(record.resource)):
            self._send(ActionResult(action, None, _unknown_error(action, missing)))
            return None
        if record is None or action.verb != "boot":
            self._send(ActionResult(action, record))
            return None
        self._send(Created(action, outputs))
        try:
            self._calls.learn(action, record)
        except PragmaspecError as error:
            degraded = replace(record, status="degraded", problem=error.first_line)
            self._send(ActionResult(action, degraded, error))
            return None
        return CreatedNode(record, paused=self._calls.is_paused(action))

    def resume(self, job: Job) -> bool:
        """Resume a node that :meth:`call` created paused. Returns False after a failure, which ends the job."""
        try:
            self._calls.resume(job.action, job.begun)
            reach("engine.boot.released")
        except BaseException as error:  # noqa: BLE001 - handled by the apply thread
            self._send(ActionResult(job.action, None, error))
            return False
        return True

    def is_ready(self, job: Job) -> bool:
        """True if the wait for the guest of a booted node ends at once. After an error False: the wait then reports it."""
        node = job.action.resource
        tools, mark = self._calls.tools(job.action), self._calls.mark(job.action, job.begun)
        try:
            return isinstance(node, Node) and tools.guests.finished(node, mark)
        except PragmaspecError:
            return False

    def wait(self, job: Job, record: Record) -> None:
        """Wait for the guest of a booted node, then send it what has changed in its cluster since its disk was made."""
        action, earlier = job.action, job.earlier
        must_update = self._calls.is_incomplete(action) or (
            earlier is not None and needs_guest_update(action.resource, earlier, record.generation)
        )
        try:
            wait_until_ready(self._readiness_wait(job))
            reach("engine.boot.ready")
            if must_update:
                self._send(Progress(action, "sending the files of its cluster"))
                self._calls.update_guest(replace(action, resource=record.resource), job.begun)
                reach("engine.boot.updated")
        except PragmaspecError as error:
            resource = without_guest_info(record.resource) if must_update else record.resource
            degraded = replace(record, resource=resource, status="degraded", problem=error.first_line)
            self._send(ActionResult(action, degraded, error))
        except BaseException as error:  # noqa: BLE001 - handled by the apply thread
            self._send(ActionResult(action, None, error))
        else:
            self._send(ActionResult(action, record))

    def update(self, job: Job) -> None:
        """Update a node that keeps running."""
        try:
            reach("engine.update.leaves")
            self._calls.update(job.action, job.begun)
            reach("engine.update.answered")
        except BaseException as error:  # noqa: BLE001 - handled by the apply thread
            self._send(ActionResult(job.action, None, error))
        else:
            self._send(ActionResult(job.action, record_after(job.action, job.begun, job.begun.outputs if job.begun else ())))

    def abandon_computes_of(self, frontend: Node, reason: str) -> None:
        """Fail the waits for nodes that are only reachable through ``frontend``."""
        self._abandoned[frontend.site, frontend.cluster] = reason

    def cancel(self) -> None:
        """Cancel the waits for guests and for image transfers of other sites."""
        self._cancelled.set()
        self._calls.cancel()

    def close(self) -> None:
        """Remove temporary files of nodes that were not booted."""
        self._calls.close()

    def _call_provider(self, job: Job) -> Outputs:
        """Make the call, and repeat it once if its answer was lost and a repetition cannot create a second machine."""
        action = job.action

        def report(activity: str) -> None:
            self._send(Progress(action, activity))

        try:
            return self._calls.call(action, job.begun, report)
        except SiteUnreachableError:
            begun = None if self._cancelled.is_set() else self._record_to_repeat(job)
            if begun is None:
                raise
            reach("engine.call.repeated")
            return self._calls.call(action, begun, report)

    def _record_to_repeat(self, job: Job) -> Record | None:
        """Return the record to repeat the call of ``job`` with; None: the next run repeats it, as the first call may be pending.

        A known machine that is gone may have been created anew by the call whose answer was lost.
        """
        begun, provider, site = job.begun, self._calls.tools(job.action).provider, job.action.resource.site
        if begun is None or job.action.verb != "boot" or provider.identity_kind != "tag":
            return begun
        self._extra_listings[site] += 1
        if self._extra_listings[site] > _MAX_EXTRA_LISTINGS:
            return None
        observed = self.observe(site)
        if not isinstance(observed, Observations):
            return None
        if begun.site_id and any(node.id == begun.site_id for node in observed.nodes):
            return begun
        return bind_created(begun, observed.nodes)

    def _readiness_wait(self, job: Job) -> ReadinessWait:
        action, node = job.action, job.action.resource
        tools, mark = self._calls.tools(action), self._calls.mark(action, job.begun)
        if not isinstance(node, Node):
            raise TypeError(action.key)
        return ReadinessWait(
            node=node,
            mark=mark,
            guests=tools.guests,
            power=tools.power,
            clock=self._clock,
            check=lambda: self._check(node),
            report=lambda activity: self._send(Progress(action, activity)),
            diagnostics=lambda: tools.provider.diagnostics(node, mark),
        )

    def _check(self, node: Node) -> str:
        if self._cancelled.is_set():
            raise Cancelled
        return self._abandoned.get((node.site, node.cluster), "") if node.role == "compute" else ""


def _unknown_error(action: Action, missing: tuple[str, ...]) -> SiteError:
    return SiteError(
        "The site did not name an address",
        f"{action.key} succeeded without {joined(missing)}, so that its record is not complete. Apply again, which asks the site "
        "again; if that does not help, it is a bug in the site's provider.",
    )


def _builds_seeds(plan: Plan, tools: Mapping[str, SiteTools]) -> bool:
    """True if ``plan`` boots a node that reads a seed."""
    return any(action.verb == "boot" and tools[action.resource.site].delivery.seed for action in plan.actions)


def _site_tools(plan: Plan, context: ApplyContext, target: TargetState) -> Mapping[str, SiteTools]:
    tools: dict[str, SiteTools] = {}
    declared = {planned.site.name: planned.site.delivery for planned in plan.sites}
    acted_on = (action.resource.site for action in plan.actions if action.verb != "record")
    for name in dict.fromkeys((*acted_on, *context.providers)):
        provider = context.providers[name]
        power = PowerWatch(provider, target.state.lineage, context.clock)
        guests = guests_of(provider, context.remote, context.clock)
        tools[name] = SiteTools(provider, guests, power, delivery_to(guests, declared.get(name, SEED_AND_FILES)))
    over_ssh = {name for name, site in tools.items() if site.guests.over_ssh}
    if any(action.verb in ("boot", "update") and action.resource.site in over_ssh for action in plan.actions):
        context.remote.use(target.state)
        # A frontend that restarts does not close the shared connections through it, so they would hang.
        context.remote.close()
    return tools
