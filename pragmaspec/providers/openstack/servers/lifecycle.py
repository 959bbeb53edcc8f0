"""Servers: created on claimed ports, started, stopped, resized and deleted.

Nova has no idempotency token, and two requests with one port at the same moment can both be accepted, of which one then fails and
takes the port from the other. So a server is looked up by its tag before any request that creates one, after a request without an
answer until it appears, and two servers of one node are deleted before a third is made.
"""

from base64 import b64encode
from collections.abc import Sequence

from msgspec.structs import replace

from pragmaspec.errors import SiteCapacityError, SiteConflictError, SiteError, SiteUnreachableError
from pragmaspec.failpoints import reach
from pragmaspec.planning.wanted import Firmware
from pragmaspec.providers.base import BootRequest
from pragmaspec.providers.openstack.addresses import attach
from pragmaspec.providers.openstack.call_error import CallError
from pragmaspec.providers.openstack.client import LOST
from pragmaspec.providers.openstack.cloud import Cloud
from pragmaspec.providers.openstack.grants import granted_to
from pragmaspec.providers.openstack.images import image_id
from pragmaspec.providers.openstack.listings import FLOATING_IPS
from pragmaspec.providers.openstack.marks import includes, machine_tags, mark_from_metadata, metadata_of, node_tag
from pragmaspec.providers.openstack.network_parts import Parts
from pragmaspec.providers.openstack.objects import Identified, Port, Server
from pragmaspec.providers.openstack.ports import ClusterNetworks, claim, is_for, network_of, ports_of, remove_ports
from pragmaspec.providers.openstack.servers.groups import ServerGroups
from pragmaspec.providers.openstack.servers.listed import GONE, ListedServers
from pragmaspec.providers.openstack.servers.power import BUILD_LIMIT_S, PASSING, STATE_LIMIT_S, ServerPower
from pragmaspec.providers.openstack.servers.watch import Seen, ServerWatch
from pragmaspec.providers.openstack.storage.server_disks import ServerDisk, ServerDisks, device_mapping
from pragmaspec.providers.openstack.unanswered import created_without_answer
from pragmaspec.resources import Mark, Nic, Node, Outputs

_CREATIONS_MAX = 3
_CONFLICT, _SERVER_FAILED = 409, 500


class Servers:
    """The servers of one site. Thread-safe."""

    def __init__(self, cloud: Cloud, user_data_limit: int, disks: ServerDisks) -> None:
        self._cloud = cloud
        self._disks = disks
        self._client = cloud.client
        self._limit = user_data_limit
        self._networks = ClusterNetworks(cloud)
        self._servers = ListedServers(cloud.client)
        self._watch = ServerWatch(cloud.client, self._servers)
        self._power = ServerPower(cloud, self._watch)
        self.groups = ServerGroups(cloud)
        self._images: dict[tuple[str, Firmware], str] = {}
        """Ids of images by digest and firmware: one look-up serves all nodes of a run."""

    def boot(self, request: BootRequest) -> Outputs:
        """Create the node's server, or bring the present one to the requested state."""
        self._disks.check(request)
        present = self._present(request)
        server = present or self._created(request)
        server = self._with_op(server, request.mark)
        server = self._power.sized(server, request.mark, request.node)
        if present is not None:
            server = self._with_disks(self._connected(server, request), request)
        server = self._power.running(server, request.mark)
        self._attach_address(request)
        return (*self._chosen_macs(server), ("id", server.id))

    def shutdown(self, mark: Mark, grace_s: float) -> None:
        """Stop the machines of ``mark``. Nova gives the guest a minute, whatever ``grace_s`` is."""
        for server in self._of(mark):
            self._power.stopped(server, mark, grace_s)

    def remove(self, mark: Mark) -> None:
        """Delete the machines of ``mark`` with their ports."""
        found = self._of(mark)
        self._delete(found, mark)
        remove_ports(self._cloud, mark, [server.id for server in found])
        self._disks.remove(mark)

    def remove_one(self, server_id: str, mark: Mark) -> None:
        """Delete the server with this id if it carries ``mark``, and the disks of ``mark`` if no other server has them."""
        server = self._client.show("compute", f"/servers/{server_id}", "server", Server)
        if server is not None and mark_from_metadata(server.metadata) == mark:
            self._delete([server], mark)
            remove_ports(self._cloud, mark, [server.id])
        if self._claimed(mark) is None:
            self._disks.remove(mark, exactly=True)

    def find(self, mark: Mark) -> Server | None:
        """Return the machine of ``mark``, or None."""
        return next(iter(self._of(mark)), None)

    def forget_networks(self) -> None:
        """Look the networks of clusters up again."""
        self._networks.forget()

    def learn_networks(self, mark: Mark, parts: Parts) -> None:
        """Remember the parts of the allocation of ``mark``, which were just listed."""
        self._networks.learn(mark, parts)

    def check(self, request: BootRequest) -> None:
        """Raise SiteError if a network or a volume of the node is missing, or a volume is in use."""
        self._networks.forget()
        self._networks.ids(request)
        self._disks.check(request)

    def _of(self, mark: Mark) -> list[Server]:
        """Return the servers that a removal for ``mark`` includes."""
        found = ((server, mark_from_metadata(server.metadata)) for server in self._listed(mark))
        return [server for server, own in found if own is not None and includes(mark, own)]

    def _listed(self, mark: Mark) -> tuple[Server, ...]:
        """Return the servers of the node, of any generation."""
        return self._servers.of_node(node_tag(mark))

    def _present(self, request: BootRequest) -> Server | None:
        """Return the node's server if it may be kept. Raises SiteConflictError for one of another generation."""
        mark, found = request.mark, []
        for server in self._listed(request.mark):
            own = mark_from_metadata(server.metadata)
            if server.task_state == "deleting":
                self._await_gone(server, mark)
            elif own is not None and own.generation != mark.generation:
                raise SiteConflictError(
                    "Another generation of the node is at the site",
                    f"{mark.address} is generation {own.generation}, the plan wants generation {mark.generation}; it was not "
                    "touched, because its disk would be lost. Plan again to see the resulting actions.",
                )
            elif own is not None:
                found.append(server)
        known = [server for server in found if server.id == request.site_id]
        never_ran = [server for server in found if server.status == "ERROR" and not server.launched_at]
        surplus = [server for server in found if server not in known] if known else found if len(found) > 1 else never_ran
        self._delete(surplus, mark)
        kept = [server for server in found if server not in surplus]
        return kept[0] if kept else None

    def _created(self, request: BootRequest) -> Server:
        node = request.node
        if len(request.user_data) > self._limit:
            raise SiteError(
                "User-data too large",
                f"The user-data of {node.name} has {len(request.user_data):,} bytes, and {self._cloud.title} takes at most "
                f"{self._limit:,}.",
            )
        disks = self._disks.ready(request)
        try:
            return self._created_with(request, disks)
        except SiteUnreachableError:
            raise  # A server may still appear.
        except (CallError, SiteError):
            self._disks.undo(disks)
            raise

    def _created_with(self, request: BootRequest, disks: Sequence[ServerDisk]) -> Server:
        """Return a new server with all ports and ``disks``. Raises SiteError for one that failed, which is deleted again."""
        node, mark = request.node, request.mark
        for _ in range(_CREATIONS_MAX):
            # A request that was executed twice makes two servers, of which one takes the port from the other when it fails.
            server, twins = self._built(request, disks)
            if not twins and server is not None and server.status != "ERROR" and not self._detached(server, request):
                return server
            self._delete([*twins, *([server] if server is not None else [])], mark)
            if not twins and (server is None or server.status == "ERROR"):
                reason = server.fault.message if server is not None and server.fault is not None else "It was deleted meanwhile."
                remove_ports(self._cloud, mark)
                raise build_failure(node, reason, self._cloud.title)
            self._disks.free(disks)
        raise SiteError(
            "A server has lost its network",
            f"{self._cloud.title} made {node.name} {_CREATIONS_MAX} times without its network, or as two servers at once. They "
            "were deleted again. Apply again; if it persists, ask the operators of the cloud.",
        )

    def _built(self, request: BootRequest, disks: Sequence[ServerDisk]) -> Seen:
        """Return a new server once it is built, or has failed."""
        flavor = self._cloud.flavor(request.node.flavor).id
        ports = claim(self._cloud, self._networks, request)
        try:
            server_id = self._post(request, flavor, ports, disks)
        except CallError:
            self._images.pop((request.image.digest, request.node.firmware), None)
            remove_ports(self._cloud, request.mark)
            raise
        reach("openstack.server.made")
        return self._watch.wait(server_id, node_tag(request.mark), _is_built, BUILD_LIMIT_S, "be built")

    def _image(self, request: BootRequest) -> str:
        """Return the id of the image at the site. Raises SiteError if it is not staged."""
        image, firmware = request.image, request.node.firmware
        key = (image.digest, firmware)
        found = self._images.get(key) or image_id(self._cloud, image, firmware)
        self._images[key] = found
        return found

    def _detached(self, server: Server, request: BootRequest) -> list[Nic]:
        """Return the interfaces of the node whose ports ``server`` does not have."""
        own = {network_of(port) for port in self._servers.ports(server.id)}
        return [nic for nic in request.node.interfaces if nic.network not in own]

    def _connected(self, server: Server, request: BootRequest) -> Server:
        """Return ``server`` with all interfaces of the node: it is stopped to attach one that it has lost."""
        lost = self._detached(server, request)
        if not lost:
            return server
        server = self._power.stopped(server, request.mark, 0)
        for port in claim(self._cloud, self._networks, request, [nic.network for nic in lost]):
            body = {"interfaceAttachment": {"port_id": port.id}}
            self._client.call("compute", "POST", f"/servers/{server.id}/os-interface", body=body)
            reach("openstack.port.attached")
        return server

    def _with_disks(self, server: Server, request: BootRequest) -> Server:
        """Return ``server`` with the disks of the node. It is stopped for a change in a state in which Nova makes none."""
        if not self._disks.lacks(server, request):
            return server
        mark = request.mark
        server = self._power.settled(server, mark)
        disks = self._disks.ready(request)
        missing, unused = self._disks.missing(server, disks), self._disks.unused(server, disks, mark)
        if (missing or unused) and server.status not in ("ACTIVE", "SHUTOFF"):
            server = self._power.stopped(self._power.running(server, mark), mark, 0)
        for volume in unused:
            self._disks.detach(server, volume)
        for disk in missing:
            self._disks.attach(server, disk)
        return server

    def _post(self, request: BootRequest, flavor: str, ports: Sequence[Port], disks: Sequence[ServerDisk]) -> str:
        """Ask for the server, and return its id."""
        node, mark = request.node, request.mark
        body: dict[str, object] = {
            "name": node.name,
            "imageRef": self._image(request),
            "flavorRef": flavor,
            "networks": [{"port": port.id} for port in ports],
            "metadata": metadata_of(mark),
            "tags": machine_tags(mark),
            "config_drive": True,
        }
        if disks:
            body["block_device_mapping_v2"] = list(device_mapping(disks, self._image(request)))
        if request.user_data:
            body["user_data"] = b64encode(request.user_data).decode("ascii")
        zones = self._cloud.settings.zones
        if zones:
            body["availability_zone"] = zones[node.index % len(zones)]
        document: dict[str, object] = {"server": body}
        if group := self.groups.hint(request):
            document["os:scheduler_hints"] = {"group": group}
        try:
            return self._client.send("compute", "POST", "/servers", document, "server", Identified).id
        except (CallError, *LOST) as error:
            if not isinstance(error, CallError) or error.status >= _SERVER_FAILED:
                return created_without_answer(self._cloud, lambda: self._claimed(mark), f"a server of {mark.address}", error)
            # Of two requests at once, one is refused because the other has the disks.
            twin = self._claimed(mark) if disks else None
            if twin is None:
                raise
            return twin

    def _claimed(self, mark: Mark) -> str | None:
        """Return the id of a listed server with exactly this mark."""
        found = (server.id for server in self._listed(mark) if mark_from_metadata(server.metadata) == mark)
        return next(found, None)

    def _with_op(self, server: Server, mark: Mark) -> Server:
        """Return ``server``, which then carries the op of ``mark``, so that a removal of its predecessor does not affect it."""
        present = mark_from_metadata(server.metadata)
        if present is None or present.op == mark.op:
            return server
        wanted = replace(present, op=mark.op)
        self._client.call("compute", "POST", f"/servers/{server.id}/metadata", body={"metadata": metadata_of(wanted)})
        return server

    def _delete(self, servers: Sequence[Server], mark: Mark) -> None:
        for server in servers:
            self._client.remove("compute", f"/servers/{server.id}")
            reach("openstack.server.removed")
        for server in servers:
            self._await_gone(server, mark)

    def _await_gone(self, server: Server, mark: Mark) -> None:
        self._watch.wait(server.id, node_tag(mark), lambda now: now is None or now.status in GONE, STATE_LIMIT_S, "be deleted")

    def _chosen_macs(self, server: Server) -> Outputs:
        """Return the MACs that the cloud has chosen, where the site names a shared network."""
        if not self._cloud.settings.network:
            return ()
        found = self._servers.ports(server.id)
        return tuple((f"mac:{network_of(port)}", port.mac_address) for port in found if network_of(port))

    def _attach_address(self, request: BootRequest) -> None:
        """Let the node's floating address lead to its private port."""
        granted = (each for each in request.allocation.public if each.node == request.node.name and each.translated)
        grant = next(granted, None)
        if grant is None:
            return
        present = self._client.list(FLOATING_IPS, project_id=self._cloud.project)
        address = next(iter(granted_to(grant, present, request.allocation_mark)), None)
        private = next((port for port in ports_of(self._cloud, request.mark) if is_for(port, request.mark, "private")), None)
        if address is None or private is None:
            missing = "floating address" if address is None else "port"
            raise SiteError(
                "An object is missing at the site",
                f"The {missing} of {request.node.name} is gone at {self._cloud.title}. Plan again.",
            )
        attach(self._cloud, address, private.id)


def build_failure(node: Node, reason: str, title: str) -> SiteError:
    """Return the error for a server that could not be built, which was deleted again."""
    error = SiteCapacityError if "No valid host" in reason else SiteError
    return error("A server could not be built", f"{node.name} at {title}: {reason.strip()} The server was deleted again.")


def _is_built(server: Server | None) -> bool:
    return server is None or (server.status not in PASSING and server.task_state is None) or server.status == "ERROR"
