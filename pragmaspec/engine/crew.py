"""The threads of an apply: calls at each site, so many at once as the site allows, and waiting for guests apart from them.

A node that is waited for holds no place among its site's calls, so that no number of them keeps another from booting.
"""

import threading
from collections.abc import Mapping
from queue import SimpleQueue
from typing import NamedTuple

from msgspec.structs import replace

from pragmaspec.engine.context import ApplyContext
from pragmaspec.engine.lanes import Lane
from pragmaspec.engine.outlook import Outlook
from pragmaspec.engine.perform import Performer, SiteTools, guests_of, result
from pragmaspec.engine.power import PowerWatch
from pragmaspec.engine.readiness import Waiting, wait_until_ready
from pragmaspec.errors import PragmaspecError
from pragmaspec.planning.plan import Action, Plan
from pragmaspec.recorded import Node, Outputs, Record
from pragmaspec.store.entry import must_tell, untold
from pragmaspec.store.session import first_line

WAITING_AT_ONCE = 128
"""How many guests are waited for at the same time; each is a thread that sleeps, and at most one ssh process."""


class Cut(Exception):  # noqa: N818 - not an error: the run was told to stop
    """The waiting for a guest was cut off."""


class Said(NamedTuple):
    """What an action is busy with."""

    action: Action
    doing: str


class Bound(NamedTuple):
    """The site has made the object; its guest is waited for."""

    action: Action
    outputs: Outputs


class Ended(NamedTuple):
    """An action has ended: with ``record`` to keep (None: nothing is left) and no error, or with an error.

    An error with a record means that the object is there, but not as it should be.
    """

    action: Action
    record: Record | None
    error: BaseException | None = None


Message = Said | Bound | Ended


class Crew:
    """Does actions and sends messages about them. Made once an apply."""

    def __init__(self, plan: Plan, context: ApplyContext, outlook: Outlook) -> None:
        self._inbox: SimpleQueue[Message | None] = SimpleQueue()
        self._cut = threading.Event()
        self._hopeless: dict[tuple[str, str], str] = {}
        self._tools = _tools(plan, context, outlook)
        self._performer = Performer(context, outlook, self._tools)
        widths = {planned.site.name: planned.site.parallel for planned in plan.sites}
        self._calls = {name: Lane(f"call-{name}", widths.get(name, 1)) for name in self._tools}
        self._waits = Lane("wait", WAITING_AT_ONCE)
        self._waiting: dict[str, Action] = {}

    def begin(self, action: Action, earlier: Record | None) -> None:
        """Do ``action``, whose address had the record ``earlier``; an :class:`Ended` will tell how it ended."""
        if action.verb == "update":
            self._waits.submit(action.key, lambda: self._update(action, earlier))
        else:
            self._calls[action.resource.site].submit(action.key, lambda: self._call(action, earlier))

    def receive(self, timeout_s: float) -> Message | None:
        """The next message; None when :meth:`wake` was called. Raises ``queue.Empty`` after ``timeout_s``."""
        return self._inbox.get(timeout=timeout_s)

    def wake(self) -> None:
        """Let :meth:`receive` return. May be called from a signal handler."""
        self._inbox.put(None)

    def frontend_failed(self, node: Node, why: str) -> None:
        """Stop waiting for nodes that are only reached through ``node``."""
        self._hopeless[node.site, node.cluster] = why

    def stop(self) -> list[str]:
        """Begin nothing more and stop waiting for guests. Returns the keys of the actions that have not begun."""
        self._cut.set()
        keys = [key for lane in self._calls.values() for key in lane.cancel()]
        for key in self._waits.cancel():
            if key in self._waiting:
                self._inbox.put(Ended(self._waiting[key], None, Cut()))
            else:
                keys.append(key)
        return keys

    def close(self) -> None:
        """Let the threads end."""
        self._cut.set()
        for lane in (*self._calls.values(), self._waits):
            lane.close()

    def _call(self, action: Action, earlier: Record | None) -> None:
        """The provider's part of an action."""
        try:
            outputs = self._performer.call(action, earlier, lambda doing: self._inbox.put(Said(action, doing)))
        except BaseException as error:  # noqa: BLE001 - the thread that applies decides what to do with it
            self._inbox.put(Ended(action, None, error))
            return
        record = result(action, earlier, outputs)
        if record is None or action.verb != "boot":
            self._inbox.put(Ended(action, record))
            return
        self._inbox.put(Bound(action, outputs))
        self._waiting[action.key] = action
        self._waits.submit(action.key, lambda: self._wait(action, earlier, record))

    def _wait(self, action: Action, earlier: Record | None, record: Record) -> None:
        """Wait for the guest of a booted node, and tell it what its disk does not know."""
        tell = earlier is not None and must_tell(action.resource, earlier, record.generation)
        try:
            wait_until_ready(self._waiting_for(action, earlier))
            if tell:
                self._performer.tell(action)
        except PragmaspecError as error:
            resource = untold(record.resource) if tell else record.resource
            degraded = replace(record, resource=resource, status="degraded", problem=first_line(error))
            self._inbox.put(Ended(action, degraded, error))
        except BaseException as error:  # noqa: BLE001 - as above
            self._inbox.put(Ended(action, None, error))
        else:
            self._inbox.put(Ended(action, record))

    def _update(self, action: Action, earlier: Record | None) -> None:
        try:
            self._performer.tell(action)
        except BaseException as error:  # noqa: BLE001 - as above
            self._inbox.put(Ended(action, None, error))
        else:
            self._inbox.put(Ended(action, result(action, earlier, earlier.outputs if earlier else ())))

    def _waiting_for(self, action: Action, earlier: Record | None) -> Waiting:
        node, tools, mark = action.resource, self._performer.tools(action), self._performer.mark(action, earlier)
        if not isinstance(node, Node):
            raise TypeError(action.key)
        return Waiting(
            node=node,
            mark=mark,
            guests=tools.guests,
            power=tools.power,
            check=lambda: self._check(node),
            say=lambda doing: self._inbox.put(Said(action, doing)),
            evidence=lambda: tools.provider.evidence(node, mark),
        )

    def _check(self, node: Node) -> str:
        if self._cut.is_set():
            raise Cut
        return self._hopeless.get((node.site, node.cluster), "") if node.role == "compute" else ""


def _tools(plan: Plan, context: ApplyContext, outlook: Outlook) -> Mapping[str, SiteTools]:
    tools: dict[str, SiteTools] = {}
    for name in dict.fromkeys(action.resource.site for action in plan.actions if action.verb != "record"):
        provider = context.providers[name]
        power = PowerWatch(provider, outlook.state.lineage)
        tools[name] = SiteTools(provider=provider, guests=guests_of(provider, context.remote), power=power)
    seeded = {name for name, site in tools.items() if site.guests.seeded}
    if any(action.verb in ("boot", "update") and action.resource.site in seeded for action in plan.actions):
        context.remote.use(outlook.state)
        # A frontend that is started anew does not tell the connections that are shared through it that they are dead.
        context.remote.close()
    return tools
