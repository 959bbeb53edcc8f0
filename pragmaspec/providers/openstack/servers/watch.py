"""Waits until servers have reached a state. All waits share one poll, so that their number does not matter to the site."""

from collections import Counter
from collections.abc import Callable, Mapping
from threading import Lock
from typing import NamedTuple

from pragmaspec.errors import SiteError
from pragmaspec.providers.openstack.client import Client
from pragmaspec.providers.openstack.objects import Server
from pragmaspec.providers.openstack.servers.listed import ListedServers

_PAUSE_S = 1.0

Awaited = Callable[[Server | None], bool]
"""True if the wait for a server is over; None: the server is gone."""


class Seen(NamedTuple):
    """A server as a wait has found it, and other servers of its node. ``server`` is None if it is gone."""

    server: Server | None
    others: tuple[Server, ...] = ()


class ServerWatch:
    """The waits of one site. Thread-safe."""

    def __init__(self, client: Client, listed: ListedServers) -> None:
        self._client = client
        self._listed = listed
        self._turn = Lock()
        self._state = Lock()
        self._waiting: Counter[tuple[str, str]] = Counter()
        self._seen: Mapping[str, Seen] = {}
        self._asked_at = self._polled_at = float("-inf")

    def wait(self, server_id: str, node: str, awaited: Awaited, limit_s: float, expected: str) -> Seen:
        """Return the server once ``awaited`` holds. ``node``: the tag of its node.

        Raises SiteError after ``limit_s`` seconds without ``expected``.
        """
        clock = self._client.clock
        with self._state:
            self._waiting[node, server_id] += 1
        began = clock.monotonic()
        try:
            while True:
                found = self._look(began)
                seen = found.get(server_id, Seen(None)) if found is not None else None
                if seen is not None and awaited(seen.server):
                    return seen
                if clock.monotonic() - began >= limit_s:
                    raise _late(server_id, seen.server if seen is not None else None, limit_s, expected)
                clock.sleep(_PAUSE_S if seen is not None else _PAUSE_S / 2)
        finally:
            with self._state:
                self._waiting[node, server_id] -= 1
                self._waiting = +self._waiting

    def _look(self, began: float) -> Mapping[str, Seen] | None:
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

    def _read(self, asked: tuple[tuple[str, str], ...]) -> Mapping[str, Seen]:
        nodes = self._listed.of_nodes({node for node, _ in asked})
        return {server_id: self._seen_in(nodes.get(node, ()), server_id) for node, server_id in asked}

    def _seen_in(self, servers: tuple[Server, ...], server_id: str) -> Seen:
        """Return what was listed of a server. One that was not listed counts as gone only when its id is unknown, too."""
        found = next((server for server in servers if server.id == server_id), None)
        others = tuple(server for server in servers if server.id != server_id)
        return Seen(found or self._client.show("compute", f"/servers/{server_id}", "server", Server), others)


def _late(server_id: str, server: Server | None, limit_s: float, expected: str) -> SiteError:
    state = f"has the status {server.status}" if server is not None else "is gone"
    doing = f" and does {server.task_state}" if server is not None and server.task_state else ""
    return SiteError(
        "The site took too long",
        f"Server {server_id} {state}{doing} after {limit_s:.0f} s, and should {expected}. Check the cloud, then apply again.",
    )
