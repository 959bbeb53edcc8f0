"""Servers and ports as listed for nodes: look-ups of several threads share requests."""

from collections.abc import Collection, Sequence

from pragmaspec.providers.openstack.client import Client
from pragmaspec.providers.openstack.listings import PORTS, SERVERS
from pragmaspec.providers.openstack.objects import Port, Server
from pragmaspec.providers.openstack.servers.shared_listing import Found, SharedListing, in_parts

GONE = frozenset({"DELETED", "SOFT_DELETED"})


class ListedServers:
    """The servers of one site by the tags of their nodes, and their ports. Thread-safe."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._servers = SharedListing(self._with_tags)
        self._ports = SharedListing(self._on_devices)

    def of_node(self, node: str) -> tuple[Server, ...]:
        """Return the servers with the tag ``node``, of any generation, without those that are deleted."""
        return self._servers.find(node)

    def of_nodes(self, nodes: Collection[str]) -> Found[Server]:
        """Return the servers of several nodes by their tags."""
        return in_parts(self._with_tags, sorted(nodes))

    def ports(self, server_id: str) -> tuple[Port, ...]:
        """Return the ports that a server has."""
        return self._ports.find(server_id)

    def _with_tags(self, tags: Sequence[str]) -> Found[Server]:
        found = self._client.list(SERVERS, **{"tags-any": ",".join(tags)})
        living = [server for server in found if server.status not in GONE]
        return {tag: tuple(server for server in living if tag in server.tags) for tag in tags}

    def _on_devices(self, ids: Sequence[str]) -> Found[Port]:
        found = self._client.list(PORTS, device_id=ids)
        return {each: tuple(port for port in found if port.device_id == each) for each in ids}
