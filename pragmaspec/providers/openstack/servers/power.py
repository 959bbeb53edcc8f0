"""Power and size of servers: started, stopped and resized, from whatever state they are in.

Nova refuses an action that does not fit the present state, which another user may have changed meanwhile: it is read again then.
"""

from collections.abc import Mapping

from pragmaspec.errors import SiteError
from pragmaspec.failpoints import reach
from pragmaspec.providers.openstack.call_error import CallError
from pragmaspec.providers.openstack.cloud import Cloud
from pragmaspec.providers.openstack.marks import mark_from_metadata, node_tag
from pragmaspec.providers.openstack.objects import Server
from pragmaspec.providers.openstack.servers.watch import ServerWatch
from pragmaspec.resources import Mark, Node

PASSING = frozenset({"BUILD", "REBOOT", "HARD_REBOOT", "RESIZE", "REVERT_RESIZE", "PASSWORD", "REBUILD", "MIGRATING"})
"""Statuses that end by themselves."""
RUNNING = frozenset({"ACTIVE", "BUILD", "REBOOT", "HARD_REBOOT", "PAUSED", "RESIZE", "VERIFY_RESIZE", "MIGRATING", "RESCUE"})
OFF = frozenset({"SHUTOFF", "SHELVED", "SHELVED_OFFLOADED"})
"""Statuses without a guest, also without one in saved memory."""
STEPS: Mapping[str, tuple[dict[str, object], str]] = {
    "SHUTOFF": ({"os-start": None}, "start"),
    "PAUSED": ({"unpause": None}, "be unpaused"),
    "SUSPENDED": ({"resume": None}, "resume"),
    "SHELVED": ({"unshelve": None}, "be unshelved"),
    "SHELVED_OFFLOADED": ({"unshelve": None}, "be unshelved"),
    "RESCUE": ({"unrescue": None}, "leave rescue mode"),
    "VERIFY_RESIZE": ({"confirmResize": None}, "have its resize confirmed"),
    "ERROR": ({"reboot": {"type": "HARD"}}, "recover by a hard reboot"),
}
"""By status: the action that leads towards a running server, and its purpose as the end of "should …"."""

BUILD_LIMIT_S = 600.0
"""Also for images that a host has to fetch and convert first."""
STATE_LIMIT_S = 180.0
STOP_MARGIN_S = 90.0
"""Nova waits 60 s for a guest before it stops it hard."""
_STEPS_MAX = 6
_UNDONE_S = 3.0
"""Nova notes an accepted action in the server before it answers: one that still does nothing after this time has failed."""
_UNNOTED = frozenset({"VERIFY_RESIZE"})
"""Statuses that a server keeps, without a note, during the action that ends them."""
_PAUSE_S = 1.0
_CONFLICT = 409


class ServerPower:
    """The states of the servers of one site. Thread-safe."""

    def __init__(self, cloud: Cloud, watch: ServerWatch) -> None:
        self._cloud = cloud
        self._client = cloud.client
        self._watch = watch

    def sized(self, server: Server, mark: Mark, node: Node) -> Server:
        """Return ``server`` with the flavor of ``node``: it is resized, which stops it for a moment."""
        if not node.flavor or server.flavor.original_name == node.flavor:
            return server
        flavor = self._cloud.flavor(node.flavor)
        server = self.settled(server, mark)
        if server.status not in ("ACTIVE", "SHUTOFF"):
            server = self.stopped(self.running(server, mark), mark, 0)
        if server.flavor.original_name == node.flavor:
            return server  # an earlier call has asked for it, and its resize is confirmed now
        self._act(server, {"resize": {"flavorRef": flavor.id}})
        server = self._awaited(server, mark, "be resized", {"VERIFY_RESIZE", "ACTIVE", "SHUTOFF"}, resized=flavor.name)
        if server.flavor.original_name != flavor.name:
            reason = server.fault.message if server.fault is not None else f"it is still {server.flavor.original_name}"
            raise SiteError(
                "A server could not be resized",
                f"{node.name} did not get the flavor {flavor.name} at {self._cloud.title}: {reason}. Choose another flavor, or "
                "rebuild the node with `--replace`.",
            )
        return server

    def running(self, server: Server, mark: Mark) -> Server:
        """Return ``server`` once it is active."""
        for _ in range(_STEPS_MAX):
            server = self.settled(server, mark)
            if server.status == "ACTIVE":
                return server
            step = STEPS.get(server.status)
            if step is None:
                break
            action, purpose = step
            if self._act(server, action):
                server = self._awaited(server, mark, purpose, None, left=server.status)
            else:
                server = self._later(server, mark)
        reason = f": {server.fault.message}" if server.fault is not None else ""
        own = mark_from_metadata(server.metadata)
        raise SiteError(
            "A server does not run",
            f"Server {server.name} has the status {server.status} at {self._cloud.title}{reason}. Repair it there, or rebuild "
            f"the node with `--replace {own.address if own is not None else server.name}`.",
        )

    def stopped(self, server: Server, mark: Mark, grace_s: float) -> Server:
        """Return ``server`` once it is off, or without memory at a host: suspended, shelved. The guest is asked to power off."""
        for _ in range(_STEPS_MAX):
            server = self.settled(server, mark)
            if server.status in ("PAUSED", "RESCUE"):
                server = self.running(server, mark)
            elif server.status == "VERIFY_RESIZE" and self._act(server, {"confirmResize": None}):
                server = self._awaited(server, mark, "have its resize confirmed", None, left="VERIFY_RESIZE")
            elif server.status not in ("ACTIVE", "ERROR", "VERIFY_RESIZE"):
                break
            elif server.status != "VERIFY_RESIZE" and self._act(server, {"os-stop": None}):
                return self._awaited(server, mark, "be off", {"SHUTOFF"}, limit_s=grace_s + STOP_MARGIN_S)
            else:
                server = self._later(server, mark)
        return server

    def settled(self, server: Server, mark: Mark) -> Server:
        """Return ``server`` after the change that is going on."""
        if server.status not in PASSING and server.task_state is None:
            return server
        return self._awaited(server, mark, "end what it does", None, limit_s=BUILD_LIMIT_S)

    def _awaited(
        self,
        server: Server,
        mark: Mark,
        purpose: str,
        statuses: set[str] | None,
        *,
        left: str = "",
        resized: str = "",
        limit_s: float = STATE_LIMIT_S,
    ) -> Server:
        """Return ``server`` once it does nothing, and has one of ``statuses``, or has ``left`` one, or has failed to leave it."""
        began = self._client.clock.monotonic()

        def over(now: Server | None) -> bool:
            if now is None:
                return True
            if now.status == left and now.task_state is None and left not in _UNNOTED:
                return self._client.clock.monotonic() - began >= _UNDONE_S
            if now.task_state is not None or now.status in PASSING or now.status == left:
                return now.status == "ERROR" and now.status != left
            if resized and now.status in ("ACTIVE", "SHUTOFF") and now.flavor.original_name != resized:
                return False
            return statuses is None or now.status in statuses or now.status == "ERROR"

        found = self._watch.wait(server.id, node_tag(mark), over, limit_s, purpose).server
        if found is None:
            raise SiteError("A server is gone", f"Server {server.name} was deleted at {self._cloud.title} meanwhile. Plan again.")
        return found

    def _act(self, server: Server, action: dict[str, object]) -> bool:
        """Ask for a change of state. Returns False for a refusal because of the present state, which is then read again."""
        try:
            self._client.call("compute", "POST", f"/servers/{server.id}/action", body=action)
        except CallError as error:
            if error.status != _CONFLICT:
                raise
            return False
        reach("openstack.server.changes")
        return True

    def _later(self, server: Server, mark: Mark) -> Server:
        """Return ``server`` as it is a moment later."""
        self._client.clock.sleep(_PAUSE_S)
        return self._awaited(server, mark, "be there", None)
