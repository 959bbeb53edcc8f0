"""The definition of a node at a host: as ordered for a boot, and as recorded."""

from typing import get_args

from msgspec.structs import replace

from pragmaspec.errors import SiteError
from pragmaspec.providers.base import BootRequest
from pragmaspec.providers.libvirt import names
from pragmaspec.providers.libvirt.domains.firmware import offered
from pragmaspec.providers.libvirt.domains.xml import DirectKernel, DomainConfig, GuestPlatform, InterfaceLink, VirtType
from pragmaspec.providers.libvirt.host import Host
from pragmaspec.providers.libvirt.networks.xml import attachment
from pragmaspec.resources import Allocation, Nic, Node, StagedImage
from pragmaspec.state_model import Record, State


def staged_paths(host: Host, image: StagedImage) -> dict[str, str]:
    """Where the parts of an image (disk, kernel, initrd) are at the host."""
    return {part: host.path(name) for part, name in names.image_volumes(image).items()}


def recorded_parts(host: Host, state: State, record: Record, found_type: str) -> DomainConfig | None:
    """Parts of a recorded node's definition; None when no record of its image or of its networks fits it.

    ``found_type`` is the domain type that it has, taken as right until a probe has determined one.
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
    )
    known = host.known_virt_type
    probed = next((each for each in get_args(VirtType) if each == found_type), host.virt_type)
    try:
        return domain_parts(host, request, known or probed)
    except SiteError:
        return None  # An interface that its cluster was not granted: its record is older than that of the allocation.


def domain_parts(host: Host, request: BootRequest, virt_type: VirtType) -> DomainConfig:
    """Parts of the node's definition at this host. Raises SiteError when the allocation lacks one of its networks."""
    node, mark, image = request.node, request.mark, request.image
    image_paths = staged_paths(host, image)
    return DomainConfig(
        node=node,
        mark=mark,
        machine=_machine(host, node, virt_type),
        disk=host.path(names.disk_volume(node.name, mark)),
        base=image_paths["disk"],
        base_format=image.format,
        seed=host.path(names.seed_volume(node.name, mark)),
        console_log=host.path(names.console_volume(node.name, mark)),
        links=tuple(link(request, nic) for nic in node.nics),
        direct=_direct(image, image_paths),
        nvram=host.path(names.nvram_volume(node.name, mark)) if node.firmware == "uefi" else "",
    )


def _machine(host: Host, node: Node, virt_type: VirtType) -> GuestPlatform:
    machine = replace(host.machine(), virt_type=virt_type)
    return replace(machine, loader=offered(host)[1]) if node.firmware == "uefi" else machine


def _direct(image: StagedImage, paths: dict[str, str]) -> DirectKernel | None:
    if "kernel" not in paths:
        return None
    return DirectKernel(kernel=paths["kernel"], initrd=paths.get("initrd"), cmdline=image.cmdline)


def link(request: BootRequest, nic: Nic) -> InterfaceLink:
    """Where an interface is plugged in. Raises SiteError when its network was not granted."""
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
