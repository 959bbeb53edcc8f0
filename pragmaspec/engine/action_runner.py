"""What is done about one action from its beginning to its end: the call, then the waiting for its guest. Runs in any thread."""

import threading
from collections import Counter
from collections.abc import Callable, Mapping

from msgspec.structs import replace

from pragmaspec.engine.context import ApplyContext
from pragmaspec.engine.events import ActionResult, Cancelled, Created, CreatedNode, Job, Message, Progress
from pragmaspec.engine.power_watch import PowerWatch
from pragmaspec.engine.provider_calls import ProviderCalls, SiteTools, guests_of, record_after
from pragmaspec.engine.readiness import ReadinessWait, wait_until_ready
from pragmaspec.engine.reconcile.recovery import bind_created
from pragmaspec.engine.target_state import TargetState
from pragmaspec.errors import PragmaspecError, SiteUnreachableError
from pragmaspec.failpoints import reach
from pragmaspec.planning.observed import Observations
from pragmaspec.planning.plan import Plan
from pragmaspec.resources import Node, Outputs
from pragmaspec.state.journal_entries import needs_guest_update, without_guest_info
from pragmaspec.state_model import Record

_MOST_LOOKS = 16
"""How often one run lists a site because the answer of a call was lost; what is still open then, the next run finds at once."""

ObserveResult = Observations | PragmaspecError
"""What a site has shown, or why it has not."""


class ActionRunner:
    """Does jobs and sends messages about them. Made once an apply; every method may be called from several threads at once."""

    def __init__(self, plan: Plan, context: ApplyContext, outlook: TargetState, send: Callable[[Message], None]) -> None:
        self.tools = _tools(plan, context, outlook)
        self.seeds = _boots_seeded(plan, self.tools)
        self._send = send
        self._clock = context.clock
        self._lineage = outlook.state.lineage
        self._session = context.session
        self._cut = threading.Event()
        self._hopeless: dict[tuple[str, str], str] = {}
        self._looks: Counter[str] = Counter()
        self._performer = ProviderCalls(plan, context, outlook, self.tools)

    def observe(self, site: str) -> ObserveResult:
        """What ``site`` has of this stack now."""
        try:
            return self.tools[site].provider.observe(self._lineage, self._session.state)
        except PragmaspecError as error:
            return error

    def call(self, job: Job) -> CreatedNode | None:
        """The provider's part of an action. Returns what was made of a node whose guest is to be waited for."""
        action = job.action
        try:
            self._performer.check(action)
        except PragmaspecError as error:
            self._send(ActionResult(action, job.earlier, error))  # Nothing was asked of the site: all is as it was.
            return None
        try:
            reach(f"engine.{action.verb}.leaves")
            outputs = self._answered(job)
            reach(f"engine.{action.verb}.answered")
        except BaseException as error:  # noqa: BLE001 - the thread that applies decides what to do with it
            self._send(ActionResult(action, None, error))
            return None
        record = record_after(action, job.begun, outputs)
        if record is None or action.verb != "boot":
            self._send(ActionResult(action, record))
            return None
        self._send(Created(action, outputs))
        return CreatedNode(record, held=self._performer.holds(action))

    def release(self, job: Job) -> bool:
        """Let the machine that :meth:`call` made and holds run. If it returns False, how the action ended has been sent."""
        try:
            self._performer.release(job.action, job.begun)
            reach("engine.boot.released")
        except BaseException as error:  # noqa: BLE001 - the thread that applies decides what to do with it
            self._send(ActionResult(job.action, None, error))
            return False
        return True

    def _answered(self, job: Job) -> Outputs:
        """What the site gives for the call. One whose answer is lost is repeated once, unless that might make another machine."""
        action = job.action

        def say(doing: str) -> None:
            self._send(Progress(action, doing))

        try:
            return self._performer.call(action, job.begun, say)
        except SiteUnreachableError:
            begun = None if self._cut.is_set() else self._repeatable(job)
            if begun is None:
                raise
            reach("engine.call.repeated")
            return self._performer.call(action, begun, say)

    def _repeatable(self, job: Job) -> Record | None:
        """The record to repeat the call of ``job`` with; None: it must wait for the next run, because the first may yet come.

        A machine that is known and gone may have been made anew by the call whose answer is lost.
        """
        begun, provider, site = job.begun, self._performer.tools(job.action).provider, job.action.resource.site
        if begun is None or job.action.verb != "boot" or provider.identity_kind != "tag":
            return begun
        self._looks[site] += 1
        if self._looks[site] > _MOST_LOOKS:
            return None
        seen = self.observe(site)
        if not isinstance(seen, Observations):
            return None
        if begun.site_id and any(node.id == begun.site_id for node in seen.nodes):
            return begun
        return bind_created(begun, seen.nodes)

    def wait(self, job: Job, record: Record) -> None:
        """Wait for the guest of a booted node, and tell it what its disk does not know."""
        action, earlier = job.action, job.earlier
        tell = earlier is not None and needs_guest_update(action.resource, earlier, record.generation)
        try:
            wait_until_ready(self._waiting_for(job))
            reach("engine.boot.ready")
            if tell:
                self._performer.tell(action)
        except PragmaspecError as error:
            resource = without_guest_info(record.resource) if tell else record.resource
            degraded = replace(record, resource=resource, status="degraded", problem=error.first_line)
            self._send(ActionResult(action, degraded, error))
        except BaseException as error:  # noqa: BLE001 - as above
            self._send(ActionResult(action, None, error))
        else:
            self._send(ActionResult(action, record))

    def update(self, job: Job) -> None:
        """Tell a running guest what has changed in its cluster."""
        try:
            reach("engine.update.leaves")
            self._performer.update(job.action, job.begun)
            reach("engine.update.answered")
        except BaseException as error:  # noqa: BLE001 - as above
            self._send(ActionResult(job.action, None, error))
        else:
            self._send(ActionResult(job.action, record_after(job.action, job.begun, job.begun.outputs if job.begun else ())))

    def abandon_computes_of(self, node: Node, why: str) -> None:
        """Stop waiting for nodes that are only reached through ``node``."""
        self._hopeless[node.site, node.cluster] = why

    def cut(self) -> None:
        """Stop waiting for guests, and for what other calls bring."""
        self._cut.set()
        self._performer.cut()

    def close(self) -> None:
        """Remove what was made on this machine and not used."""
        self._performer.close()

    def _waiting_for(self, job: Job) -> ReadinessWait:
        action, node = job.action, job.action.resource
        tools, mark = self._performer.tools(action), self._performer.mark(action, job.begun)
        if not isinstance(node, Node):
            raise TypeError(action.key)
        return ReadinessWait(
            node=node,
            mark=mark,
            guests=tools.guests,
            power=tools.power,
            clock=self._clock,
            check=lambda: self._check(node),
            say=lambda doing: self._send(Progress(action, doing)),
            diagnostics=lambda: tools.provider.diagnostics(node, mark),
        )

    def _check(self, node: Node) -> str:
        if self._cut.is_set():
            raise Cancelled
        return self._hopeless.get((node.site, node.cluster), "") if node.role == "compute" else ""


def _boots_seeded(plan: Plan, tools: Mapping[str, SiteTools]) -> bool:
    """Whether seeds are to be built."""
    return any(action.verb == "boot" and tools[action.resource.site].guests.seeded for action in plan.actions)


def _tools(plan: Plan, context: ApplyContext, outlook: TargetState) -> Mapping[str, SiteTools]:
    tools: dict[str, SiteTools] = {}
    acted_on = (action.resource.site for action in plan.actions if action.verb != "record")
    for name in dict.fromkeys((*acted_on, *context.providers)):
        provider = context.providers[name]
        power = PowerWatch(provider, outlook.state.lineage, context.clock)
        tools[name] = SiteTools(provider=provider, guests=guests_of(provider, context.remote, context.clock), power=power)
    seeded = {name for name, site in tools.items() if site.guests.seeded}
    if any(action.verb in ("boot", "update") and action.resource.site in seeded for action in plan.actions):
        context.remote.use(outlook.state)
        # A frontend that is started anew does not tell the connections that are shared through it that they are dead.
        context.remote.close()
    return tools
