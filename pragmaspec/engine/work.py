"""What is done about one action from its beginning to its end: the call, then the waiting for its guest. Runs in any thread."""

import threading
from collections.abc import Callable, Mapping

from msgspec.structs import replace

from pragmaspec.engine.context import ApplyContext
from pragmaspec.engine.messages import Bound, Cut, Ended, Job, Message, Said
from pragmaspec.engine.outlook import Outlook
from pragmaspec.engine.perform import Performer, SiteTools, guests_of, result
from pragmaspec.engine.power import PowerWatch
from pragmaspec.engine.readiness import Waiting, wait_until_ready
from pragmaspec.errors import PragmaspecError
from pragmaspec.failpoints import reach
from pragmaspec.planning.observed import Observations
from pragmaspec.planning.plan import Plan
from pragmaspec.recorded import Node, Record
from pragmaspec.store.entry import must_tell, untold
from pragmaspec.store.session import first_line

Seen = Observations | PragmaspecError
"""What a site has shown, or why it has not."""


class Work:
    """Does jobs and sends messages about them. Made once an apply; every method may be called from several threads at once."""

    def __init__(self, plan: Plan, context: ApplyContext, outlook: Outlook, send: Callable[[Message], None]) -> None:
        self.tools = _tools(plan, context, outlook)
        self._send = send
        self._clock = context.clock
        self._lineage = outlook.state.lineage
        self._cut = threading.Event()
        self._hopeless: dict[tuple[str, str], str] = {}
        self._performer = Performer(context, outlook, self.tools)

    def observe(self, site: str) -> Seen:
        """What ``site`` has of this stack now."""
        try:
            return self.tools[site].provider.observe(self._lineage)
        except PragmaspecError as error:
            return error

    def call(self, job: Job) -> Record | None:
        """The provider's part of an action. Returns the record of a node whose guest is to be waited for."""
        action = job.action
        try:
            reach(f"engine.{action.verb}.leaves")
            outputs = self._performer.call(action, job.begun, lambda doing: self._send(Said(action, doing)))
            reach(f"engine.{action.verb}.answered")
        except BaseException as error:  # noqa: BLE001 - the thread that applies decides what to do with it
            self._send(Ended(action, None, error))
            return None
        record = result(action, job.begun, outputs)
        if record is None or action.verb != "boot":
            self._send(Ended(action, record))
            return None
        self._send(Bound(action, outputs))
        return record

    def wait(self, job: Job, record: Record) -> None:
        """Wait for the guest of a booted node, and tell it what its disk does not know."""
        action, earlier = job.action, job.earlier
        tell = earlier is not None and must_tell(action.resource, earlier, record.generation)
        try:
            wait_until_ready(self._waiting_for(job))
            reach("engine.boot.ready")
            if tell:
                self._performer.tell(action)
        except PragmaspecError as error:
            resource = untold(record.resource) if tell else record.resource
            degraded = replace(record, resource=resource, status="degraded", problem=first_line(error))
            self._send(Ended(action, degraded, error))
        except BaseException as error:  # noqa: BLE001 - as above
            self._send(Ended(action, None, error))
        else:
            self._send(Ended(action, record))

    def update(self, job: Job) -> None:
        """Tell a running guest what has changed in its cluster."""
        try:
            reach("engine.update.leaves")
            self._performer.tell(job.action)
            reach("engine.update.answered")
        except BaseException as error:  # noqa: BLE001 - as above
            self._send(Ended(job.action, None, error))
        else:
            self._send(Ended(job.action, result(job.action, job.begun, job.begun.outputs if job.begun else ())))

    def frontend_failed(self, node: Node, why: str) -> None:
        """Stop waiting for nodes that are only reached through ``node``."""
        self._hopeless[node.site, node.cluster] = why

    def cut(self) -> None:
        """Stop waiting for guests."""
        self._cut.set()

    def _waiting_for(self, job: Job) -> Waiting:
        action, node = job.action, job.action.resource
        tools, mark = self._performer.tools(action), self._performer.mark(action, job.begun)
        if not isinstance(node, Node):
            raise TypeError(action.key)
        return Waiting(
            node=node,
            mark=mark,
            guests=tools.guests,
            power=tools.power,
            clock=self._clock,
            check=lambda: self._check(node),
            say=lambda doing: self._send(Said(action, doing)),
            evidence=lambda: tools.provider.evidence(node, mark),
        )

    def _check(self, node: Node) -> str:
        if self._cut.is_set():
            raise Cut
        return self._hopeless.get((node.site, node.cluster), "") if node.role == "compute" else ""


def _tools(plan: Plan, context: ApplyContext, outlook: Outlook) -> Mapping[str, SiteTools]:
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
