"""The configuration of a node's domain at a host: as requested for a boot, and as recorded."""

from collections.abc import Iterator
from typing import get_args

from msgspec.structs import replace

from pragmaspec.errors import SiteError
from pragmaspec.providers.base import BootRequest
from pragmaspec.providers.libvirt import names
from pragmaspec.providers.libvirt.domains.firmware import offered_firmware
from pragmaspec.providers.libvirt.domains.processor import VirtType
from pragmaspec.providers.libvirt.domains.xml import (
    DirectKernel,
    DomainConfig,
    ExtraDisk,
    GuestPlatform,
    InterfaceLink,
)
from pragmaspec.providers.libvirt.host import Host
from pragmaspec.providers.libvirt.host_cpus import pin_of
from pragmaspec.providers.libvirt.networks.xml import attachment
from pragmaspec.resources import Allocation, Mark, Nic, Node, StagedImage
from pragmaspec.state_model import Record, State


def staged_paths(host: Host, image: StagedImage) -> dict[str, str]:
    """The paths of the parts of an image (disk, kernel, initrd) at the host."""
    return {part: host.path(name) for part, name in names.image_volumes(image).items()}


def recorded_config(host: Host, state: State, record: Record, found_type: str) -> DomainConfig | None:
    """The configuration of a recorded node; None when its image or its networks are not recorded.

    ``found_type`` is the type of the existing domain, assumed correct until a probe has determined one.
    """
    node = record.resource
    if not isinstance(node, Node):
        return None
    granted = state.record(f"{node.site}/{node.cluster}/allocation")
    staged = state.record(f"{node.site}/image/{node.image[:16]}")
    allocation, image = (each.resource if each is not None else None for each in (granted, staged))
    if granted is None or not isinstance(allocation, Allocation) or not isinstance(image, StagedImage):
        return None
    request = BootRequest(
        node=node,
        allocation=allocation,
        image=image,
        mark=record.mark(state.lineage),
        seed=b"",
        allocation_created_as=granted.original_address,
        volumes=_volume_marks(state, node),
    )
    known = host.known_virt_type
    probed = next((each for each in get_args(VirtType) if each == found_type), host.virt_type)
    try:
        return domain_config(host, request, known or probed)
    except SiteError:
        return None  # An interface on a network outside the allocation: its record is older than that of the allocation.


def _volume_marks(state: State, node: Node) -> tuple[tuple[str, Mark], ...]:
    records = ((name, state.record(f"{node.site}/volume/{name}")) for name in node.volumes)
    return tuple((name, record.mark(state.lineage)) for name, record in records if record is not None)


def domain_config(host: Host, request: BootRequest, virt_type: VirtType) -> DomainConfig:
    """The configuration of the node at this host. Raises SiteError when the allocation lacks one of its networks."""
    node, mark, image = request.node, request.mark, request.image
    image_paths = staged_paths(host, image)
    return DomainConfig(
        node=node,
        mark=mark,
        platform=_platform(host, node, virt_type),
        disk=host.path(names.disk_volume(node.name, mark)),
        base=image_paths["disk"],
        base_format=image.format,
        seed=host.path(names.seed_volume(node.name, mark)),
        console_log=host.path(names.console_volume(node.name, mark)),
        links=tuple(interface_link(request, nic) for nic in node.nics),
        direct=_direct(image, image_paths),
        extra_disks=tuple(_extra_disks(host, request)),
        pin=pin_of(host, node),
        nvram=host.path(names.nvram_volume(node.name, mark)) if node.firmware == "uefi" else "",
    )


def _extra_disks(host: Host, request: BootRequest) -> Iterator[ExtraDisk]:
    """The further disks of the node. Raises SiteError when the mark of a volume is unknown."""
    node, marks = request.node, dict(request.volumes)
    for disk in node.disks:
        if not disk.volume:
            file = names.extra_disk_volume(node.name, disk.name, request.mark)
        elif disk.volume in marks:
            file = names.kept_volume(marks[disk.volume])
        else:
            raise SiteError(
                "A node's volume is not recorded", f"{node.name} needs volume {disk.volume}, which is not recorded. Plan again."
            )
        yield ExtraDisk(serial=disk.name, file=host.path(file))


def _platform(host: Host, node: Node, virt_type: VirtType) -> GuestPlatform:
    platform = replace(host.platform(), virt_type=virt_type)
    return replace(platform, loader=offered_firmware(host)[1]) if node.firmware == "uefi" else platform


def _direct(image: StagedImage, paths: dict[str, str]) -> DirectKernel | None:
    if "kernel" not in paths:
        return None
    return DirectKernel(kernel=paths["kernel"], initrd=paths.get("initrd"), cmdline=image.cmdline)


def interface_link(request: BootRequest, nic: Nic) -> InterfaceLink:
    """The attachment of an interface. Raises SiteError when its network is not in the allocation."""
    allocation = request.allocation
    if nic.network == "public":
        grant = next((grant for grant in allocation.public if grant.node == request.node.name), None)
        if grant is not None:
            return InterfaceLink(mac=nic.mac, network=grant.network, bridge=None if grant.network else grant.bridge, mtu=nic.mtu)
    for network in allocation.networks:
        if network.name == nic.network:
            at = attachment(allocation, network, request.allocation_mark)
            return InterfaceLink(mac=nic.mac, network=at.network, bridge=at.bridge, mtu=nic.mtu)
    raise SiteError(
        "A node's network was not granted",
        f"{request.node.name} has an interface on network {nic.network}, which is not in its cluster's allocation. Plan again.",
    )
