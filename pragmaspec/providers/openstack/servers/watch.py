"""Waits until servers have reached a state. All waits share one poll, so that their number does not matter to the site."""

from collections import Counter
from collections.abc import Callable, Mapping
from threading import Lock

from pragmaspec.errors import SiteError
from pragmaspec.providers.openstack.client import Client
from pragmaspec.providers.openstack.listings import SERVERS
from pragmaspec.providers.openstack.marks import stack_tag
from pragmaspec.providers.openstack.objects import Server

_PAUSE_S = 1.0
_SINGLE_MAX = 2
"""Up to this number of servers, each is read by itself; more of them are listed."""

Awaited = Callable[[Server | None], bool]
"""True if the wait for a server is over; None: the server is gone."""


class ServerWatch:
    """The waits of one site. Thread-safe."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._turn = Lock()
        self._state = Lock()
        self._waiting: Counter[tuple[str, str]] = Counter()
        self._seen: Mapping[str, Server] = {}
        self._asked_at = self._polled_at = float("-inf")

    def wait(self, server_id: str, lineage: str, awaited: Awaited, limit_s: float, expected: str) -> Server | None:
        """Return the server once ``awaited`` holds. Raises SiteError after ``limit_s`` seconds without ``expected``."""
        clock = self._client.clock
        with self._state:
            self._waiting[lineage, server_id] += 1
        began = clock.monotonic()
        try:
            while True:
                found = self._look(began)
                server = found.get(server_id) if found is not None else None
                if found is not None and awaited(server):
                    return server
                if clock.monotonic() - began >= limit_s:
                    raise _late(server_id, server, limit_s, expected)
                clock.sleep(_PAUSE_S if found is not None else _PAUSE_S / 2)
        finally:
            with self._state:
                self._waiting[lineage, server_id] -= 1
                self._waiting = +self._waiting

    def _look(self, began: float) -> Mapping[str, Server] | None:
        """Return the servers that are waited for, as of at most a pause ago; None: the last poll is older than ``began``.

        So many waits that begin one after the other cause one poll per half pause.
        """
        with self._turn:
            now = self._client.clock.monotonic()
            if now - self._polled_at >= _PAUSE_S / 2:
                with self._state:
                    asked = tuple(self._waiting)
                self._asked_at = now
                self._seen = self._read(asked)
                self._polled_at = self._client.clock.monotonic()
            return self._seen if self._asked_at >= began else None

    def _read(self, asked: tuple[tuple[str, str], ...]) -> Mapping[str, Server]:
        if len(asked) <= _SINGLE_MAX:
            single = (self._client.show("compute", f"/servers/{server_id}", "server", Server) for _, server_id in asked)
            return {server.id: server for server in single if server is not None}
        found: dict[str, Server] = {}
        for lineage in {lineage for lineage, _ in asked}:
            listed = self._client.list(SERVERS, tags=stack_tag(lineage))
            found |= {server.id: server for server in listed}
        return found


def _late(server_id: str, server: Server | None, limit_s: float, expected: str) -> SiteError:
    state = f"has the status {server.status}" if server is not None else "is gone"
    doing = f" and does {server.task_state}" if server is not None and server.task_state else ""
    return SiteError(
        "The site took too long",
        f"Server {server_id} {state}{doing} after {limit_s:.0f} s, and should {expected}. Check the cloud, then apply again.",
    )
