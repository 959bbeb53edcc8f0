"""The ssh routes to the recorded nodes, with their host keys. Pure."""

from collections import Counter

from pragmaspec.frozen import Frozen
from pragmaspec.guest.keys import StackKey, host_key
from pragmaspec.resources import Mark, Node
from pragmaspec.state_model import State

SSH_USER = "root"
HOP_TIMEOUT_S = 60
"""Seconds until the ssh server of an emulated and busy node has sent its banner."""


class Route(Frozen, frozen=True):
    """The route to one node.

    ``name`` is the host name for ssh: the node's name, followed by its site if several sites have a node of that name.
    ``address`` is an IP address; ``jump`` is the name of the jump host, None for a direct connection. ``host_key`` is the public
    key it was given before it booted; it is stored under ``host_alias``, never under the address, which another node may get
    later.
    """

    name: str
    node: str
    """The node's address: ``<site>/<cluster>/node/<name>``."""
    address: str
    host_alias: str
    host_key: str
    user: str = SSH_USER
    jump: str | None = None

    @property
    def connect_timeout_s(self) -> int:
        """Connection timeout in seconds. Through a frontend it includes the login there."""
        return HOP_TIMEOUT_S if self.jump is None else 2 * HOP_TIMEOUT_S


def routes(state: State, stack_key: StackKey) -> tuple[Route, ...]:
    """Return the routes to all reachable nodes: those with a public address, and those behind a frontend that has one."""
    found = planned_routes(state, stack_key)
    known = {route.name for route in found if route.address}
    return tuple(route for route in found if route.name in known and route.jump in (None, *known))


def planned_routes(state: State, stack_key: StackKey) -> tuple[Route, ...]:
    """Return :func:`routes` with those to addresses that a site has yet to choose: their ``address`` is empty."""
    nodes = state.nodes()
    count = Counter(node.name for node in nodes)
    names = {node.address: node.name if count[node.name] == 1 else f"{node.name}.{node.site}" for node in nodes}
    frontends = {(node.site, node.cluster): node for node in nodes if node.role == "frontend"}
    found: list[Route] = []
    for node in nodes:
        frontend = frontends.get((node.site, node.cluster))
        public, private = node.nic("public"), node.nic("private")
        if public is not None:
            address, jump = public.address, None
        elif frontend is not None and frontend.nic("public") is not None and private is not None:
            address, jump = private.address, names[frontend.address]
        else:
            continue
        found.append(_route(node, names[node.address], address, jump, state, stack_key))
    return tuple(found)


def _route(node: Node, name: str, address: str, jump: str | None, state: State, stack_key: StackKey) -> Route:
    record = state.record(node.address)
    mark = record.mark(state.lineage) if record else Mark(lineage=state.lineage, address=node.address)
    return Route(
        name=name,
        node=node.address,
        address=address,
        host_alias=f"{name}.{mark.short}",
        host_key=host_key(stack_key, mark).public,
        jump=jump,
    )
