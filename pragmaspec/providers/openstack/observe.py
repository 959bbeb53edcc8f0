"""Observations: the stack's objects at the site, from one listing per kind, compared with the records."""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor

from pragmaspec.planning.observed import (
    Difference,
    MachineStatus,
    Observations,
    ObservedAllocation,
    ObservedImage,
    ObservedInterface,
    ObservedNode,
)
from pragmaspec.providers.openstack.cloud import Cloud
from pragmaspec.providers.openstack.images import is_complete, list_images
from pragmaspec.providers.openstack.listings import PORTS, SERVERS, VOLUMES
from pragmaspec.providers.openstack.marks import label_from_description, mark_from_metadata, stack_tag
from pragmaspec.providers.openstack.network_parts import Parts, list_parts, oldest_by_part
from pragmaspec.providers.openstack.objects import GlanceImage, Port, Server
from pragmaspec.providers.openstack.ports import network_of
from pragmaspec.providers.openstack.security import missing_rules, rule_text
from pragmaspec.providers.openstack.servers.listed import GONE
from pragmaspec.providers.openstack.storage.observed import ObservedStorage, seconds
from pragmaspec.resources import Allocation, Mark, Node
from pragmaspec.state_model import State
from pragmaspec.text import joined

_STATUSES: Mapping[str, tuple[MachineStatus, str]] = {
    "SHUTOFF": ("off", ""),
    "PAUSED": ("paused", ""),
    "SUSPENDED": ("off", "suspended"),
    "SHELVED": ("off", "shelved"),
    "SHELVED_OFFLOADED": ("off", "shelved"),
    "ERROR": ("crashed", ""),
    "UNKNOWN": ("crashed", "its host does not report it"),
}
"""Statuses that are not running, each with the reason that people read."""


def observe(cloud: Cloud, lineage: str, recorded: State | None) -> Observations:
    """Return all objects with marks of ``lineage``. Raises CallError rather than return a partial listing."""
    client, tag = cloud.client, stack_tag(lineage)
    project = cloud.project
    with ThreadPoolExecutor(5) as pool:
        volumes = pool.submit(lambda: client.list(VOLUMES) if cloud.has_volumes else ())
        servers = pool.submit(client.list, SERVERS, tags=tag)
        ports = pool.submit(client.list, PORTS, project_id=project)
        images = pool.submit(list_images, client, tag)
        parts = pool.submit(list_parts, cloud)
    disks = ObservedStorage(volumes.result(), lineage)
    comparison = _Comparison(parts.result(), ports.result(), recorded)
    return Observations(
        site=cloud.site.name,
        identity=cloud.identity(),
        nodes=(*_nodes(cloud, servers.result(), comparison, disks), *disks.remains(servers.result())),
        volumes=disks.volumes(),
        allocations=tuple(_allocations(cloud, parts.result(), lineage)),
        images=tuple(sorted({image.digest for image in _whole(images.result())})),
        image_parts=tuple(_image_parts(images.result())),
        store="the project's images",
    )


def power_of(server: Server) -> tuple[MachineStatus, str]:
    """Return the power state of a server, and its reason for people."""
    if server.status == "ERROR" and server.fault is not None:
        return "crashed", server.fault.message.strip().rstrip(".")
    return _STATUSES.get(server.status, ("running", ""))


def _nodes(
    cloud: Cloud, servers: tuple[Server, ...], comparison: "_Comparison", disks: ObservedStorage
) -> Iterator[ObservedNode]:
    for server in sorted(servers, key=lambda server: (server.created, server.id)):
        mark = mark_from_metadata(server.metadata)
        if mark is None or mark.lineage != disks.lineage or server.status in GONE or server.task_state == "deleting":
            continue
        status, why = power_of(server)
        yield ObservedNode(
            address=mark.address,
            generation=mark.generation,
            status=status,
            cpus=server.flavor.vcpus,
            memory_mib=server.flavor.ram,
            why=why,
            saved=server.status == "SUSPENDED",
            differences=(*comparison.differences(server, mark), *disks.differences(server, mark)),
            op=mark.op,
            id=server.id,
            made=seconds(server.created),
            flavor=server.flavor.original_name,
            disks=disks.of(mark),
            volumes=disks.attached(server),
            interfaces=comparison.interfaces(server) if cloud.settings.network else (),
        )


class _Comparison:
    """Compares machines with their records; without records it finds no differences."""

    def __init__(self, parts: Parts, ports: tuple[Port, ...], recorded: State | None) -> None:
        self._ports: dict[str, list[Port]] = {}
        for port in ports:
            self._ports.setdefault(port.device_id, []).append(port)
        self._addresses = {
            (label.mark.lineage, label.mark.address, address.address): address
            for address in parts.addresses
            if (label := label_from_description(address.description)) is not None
        }
        records = recorded.records if recorded is not None else ()
        self._allocations = {
            (record.resource.site, record.resource.cluster): record.original_address
            for record in records
            if isinstance(record.resource, Allocation)
        }
        self._nodes = {record.original_address: record.resource for record in records if isinstance(record.resource, Node)}

    def ports(self, server: Server) -> dict[str, Port]:
        """Return the ports of a server by network."""
        return {network: port for port in self._ports.get(server.id, []) if (network := network_of(port))}

    def interfaces(self, server: Server) -> tuple[ObservedInterface, ...]:
        """Return the interfaces of a server with their MACs."""
        return tuple(
            ObservedInterface(network=network, mac=port.mac_address) for network, port in sorted(self.ports(server).items())
        )

    def differences(self, server: Server, mark: Mark) -> Iterator[Difference]:
        node = self._nodes.get(mark.address)
        if node is None:
            return
        ports = self.ports(server)
        for nic in node.interfaces:
            port = ports.get(nic.network)
            if port is None:
                yield Difference(detail=f"its interface in {nic.network} is detached", repair="restart", defined=False)
            elif not port.security_groups:
                yield Difference(detail=f"its interface in {nic.network} has no security group", repair="live", defined=False)
        public, private = node.nic("public"), ports.get("private")
        if public is None or not public.address or not public.translated or private is None:
            return
        address = self._addresses.get((mark.lineage, self._allocations.get((node.site, node.cluster), ""), public.address))
        if address is not None and address.port_id != private.id:
            where = "leads to another port" if address.port_id else "is detached"
            yield Difference(detail=f"its public address {public.address} {where}", repair="live", defined=False)


def _allocations(cloud: Cloud, parts: Parts, lineage: str) -> Iterator[ObservedAllocation]:
    addresses = sorted({label.mark.address for label in parts.labels() if label.mark.lineage == lineage})
    for address in addresses:
        here = parts.of(Mark(lineage=lineage, address=address))
        networks, _ = oldest_by_part(here.networks)
        first = here.described[0]
        label = label_from_description(first.description)
        yield ObservedAllocation(
            address=address,
            networks=tuple(sorted(name for name, each in networks.items() if here.subnet_of(each.id) is not None)),
            public=tuple(sorted((*(each.address for each in here.addresses), *(each.address for each in here.ports)))),
            op=label.mark.op if label is not None else "",
            id=first.id,
            faults=tuple(_faults(cloud, here)),
        )


def _faults(cloud: Cloud, here: Parts) -> Iterator[str]:
    groups, _ = oldest_by_part(here.groups)
    if not groups:
        yield "has lost its security group"
    for group in groups.values():
        lost = [rule_text(rule) for rule in missing_rules(group, cloud.settings)]
        if lost:
            yield f"its security group lacks the rule{'s' if len(lost) > 1 else ''} {joined(lost)}"
    routed = any(subnet.gateway_ip for subnet in here.subnets)
    if routed and not any(router.external_gateway_info for router in here.routers):
        yield "its router has lost the gateway" if here.routers else "has lost its router"


def _whole(images: tuple[GlanceImage, ...]) -> Iterator[GlanceImage]:
    broken = {image.digest for image in images if not is_complete(image)}
    disks = {image.digest for image in images if image.part == "disk"}
    yield from (image for image in images if image.digest in disks - broken)


def _image_parts(images: tuple[GlanceImage, ...]) -> Iterator[ObservedImage]:
    whole = {image.digest for image in _whole(images)}
    for digest in sorted({image.digest for image in images if image.digest}):
        parts = tuple(sorted((image.part, image.size) for image in images if image.digest == digest))
        yield ObservedImage(digest=digest, whole=digest in whole, parts=parts)
