"""Making a node exist and run: its volumes, its definition, its start. Every step goes on from what an interrupted run left."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import cast

import libvirt
from msgspec.structs import replace

from pragmaspec.errors import Problem, SiteConflictError, SiteError
from pragmaspec.failpoints import reach
from pragmaspec.providers.base import BootOrder
from pragmaspec.providers.libvirt import addresses, domains, names, networks, staging, volumes
from pragmaspec.providers.libvirt.domain_xml import DirectKernel, DomainParts, Link, Machine, definition_digest, domain_xml
from pragmaspec.providers.libvirt.domains import OurDomain
from pragmaspec.providers.libvirt.failures import as_site_error, code_of, kind_of
from pragmaspec.providers.libvirt.filling import disk_filled, disk_made
from pragmaspec.providers.libvirt.firmware import offered
from pragmaspec.providers.libvirt.host import Host
from pragmaspec.providers.libvirt.markup import parsed
from pragmaspec.providers.libvirt.network_xml import attachment
from pragmaspec.providers.libvirt.plugging import after_plugging
from pragmaspec.providers.libvirt.power import resume_if_paused, start_with_host
from pragmaspec.providers.libvirt.virt_type import settle
from pragmaspec.providers.libvirt.volume_xml import PRIVATE, raw_xml
from pragmaspec.recorded import Nic, Node, Outputs, PublicGrant, StagedImage

_KVM_FAILURES = ("internal", "refused", "unsupported")

_first_definition = threading.Lock()
_defined_at: set[str] = set()
"""URIs of the daemons that have read their schema for this process."""


def boot(host: Host, order: BootOrder) -> Outputs:
    """Make the node run as ``order`` says; returns once QEMU runs, without waiting for the guest."""
    node, mark = order.node, order.mark
    domain = domains.require_free_or_ours(host, node, mark)
    parts = domain_parts(host, order)
    if domain is not None and domain.running:
        _settle_running(host, domain, parts)
        start_with_host(domain.handle, yes=node.autostart)
        _reserve(host, order)
    else:
        check(host, order)
        _make_volumes(host, order, parts)
        with _kvm_doubted(host, node.name):
            handle = _defined(host, domain, parts)
            start_with_host(handle, yes=node.autostart)
            with after_plugging(host, mark.uuid, lambda: _reserve(host, order)) if _granted(order) else nullcontext():
                _start(handle, held=order.held)
    return (("domain", names.domain_name(node.name, mark)), ("uuid", mark.uuid))


def check(host: Host, order: BootOrder) -> None:
    """Raise SiteError when what the node needs in order to boot is not there: its image, its networks."""
    _require_image(host, order.image)
    _require_networks(host, order.node, [_link(order, nic) for nic in order.node.nics])


@contextmanager
def _kvm_doubted(host: Host, node: str) -> Iterator[None]:
    """Where the spec demands KVM nobody has probed it, and what QEMU says when it is broken helps nobody."""
    try:
        yield
    except libvirt.libvirtError as error:
        if host.site.virt_type != "kvm" or kind_of(error) not in _KVM_FAILURES:
            raise
        advice = (
            "The site has `virt_type: kvm`, and it may not work there: leave it out to have it probed, or write "
            "`virt_type: qemu`."
        )
        raise as_site_error(error, f"boot {node} at {host.title}", advice=advice) from error


def _granted(order: BootOrder) -> list[PublicGrant]:
    return [grant for grant in order.allocation.public if grant.node == order.node.name]


def _reserve(host: Host, order: BootOrder) -> None:
    for grant in _granted(order):
        addresses.reserve(host, grant, order.mark)


def _require_image(host: Host, image: StagedImage) -> None:
    why = staging.damage(host, image)
    if not why and volumes.find(host, names.complete_marker(image.digest)) is None:
        why = f"it is not marked as whole in pool {host.site.pool}"
    if why:
        raise SiteError(
            Problem(
                summary="The image is not at the site",
                detail=f"Image {image.name} of site {host.site.name} is not whole: {why}. Plan again, and it is staged again.",
            )
        )


def _require_networks(host: Host, node: Node, links: list[Link]) -> None:
    for name in (link.network for link in links if link.network is not None):
        seen = networks.find(host, name)
        if seen is None or not seen.active:
            raise SiteError(
                Problem(
                    summary="A node's network is not up",
                    detail=f"{node.name} is plugged into the libvirt network {name}, which at site {host.site.name} "
                    f"{'does not exist' if seen is None else 'is stopped'}. Plan again, and what is ours is made again; a "
                    f"network of the site itself is started with: virsh -c {host.site.uri} net-start {name}",
                )
            )


def domain_parts(host: Host, order: BootOrder) -> DomainParts:
    """What the node's definition says at this host."""
    node, mark, image = order.node, order.mark, order.image
    image_paths = {part: host.path(name) for part, name in names.image_volumes(image).items()}
    return DomainParts(
        node=node,
        mark=mark,
        machine=_machine(host, node, image_paths.get("kernel")),
        disk=host.path(names.disk_volume(node.name, mark)),
        base=image_paths["disk"],
        base_format=image.format,
        seed=host.path(names.seed_volume(node.name, mark)),
        console_log=host.path(names.console_volume(node.name, mark)),
        links=tuple(_link(order, nic) for nic in node.nics),
        direct=_direct(image, image_paths),
        nvram=host.path(names.nvram_volume(node.name, mark)) if node.firmware == "uefi" else "",
    )


def _machine(host: Host, node: Node, kernel: str | None) -> Machine:
    machine = replace(host.machine(), virt_type=settle(host, kernel))
    return replace(machine, loader=offered(host)[1]) if node.firmware == "uefi" else machine


def _direct(image: StagedImage, paths: dict[str, str]) -> DirectKernel | None:
    if "kernel" not in paths:
        return None
    return DirectKernel(kernel=paths["kernel"], initrd=paths.get("initrd"), cmdline=image.cmdline)


def _link(order: BootOrder, nic: Nic) -> Link:
    allocation = order.allocation
    if nic.network == "public":
        grant = next((grant for grant in allocation.public if grant.node == order.node.name), None)
        if grant is not None:
            return Link(mac=nic.mac, network=grant.network, bridge=None if grant.network else grant.bridge, mtu=nic.mtu)
    for network in allocation.networks:
        if network.name == nic.network:
            at = attachment(allocation, network, order.allocation_mark)
            return Link(mac=nic.mac, network=at.network, bridge=at.bridge, mtu=nic.mtu)
    raise SiteError(
        Problem(
            summary="A node's network was not granted",
            detail=f"{order.node.name} has an interface on network {nic.network}, which its cluster's allocation does not hold. "
            "Plan again.",
        )
    )


def _settle_running(host: Host, domain: OurDomain, parts: DomainParts) -> None:
    """A machine that runs keeps running: a definition that differs or is gone is written anew, for its next start."""
    if domain.owner.definition != definition_digest(parts) or not domain.handle.isPersistent():
        _define(host, parts)
    resume_if_paused(domain.handle)


def _make_volumes(host: Host, order: BootOrder, parts: DomainParts) -> None:
    """The domain is off: an existing disk is kept, seed and console are made anew."""
    node, mark = order.node, order.mark
    name = names.disk_volume(node.name, mark)
    made = (
        disk_filled(host, order, parts) if order.overlay and not host.connection.is_pretended else disk_made(host, order, parts)
    )
    if not made:
        _keep_disk(host, name, node.disk_bytes, parts.base)
    reach("libvirt.disk.made")
    _put_seed(host, names.seed_volume(node.name, mark), order)
    reach("libvirt.seed.made")
    # Made here although QEMU's log daemon would make it too: so that the pool lists it without being read anew.
    volumes.make(host, raw_xml(names.console_volume(node.name, mark), 0, PRIVATE))


def _put_seed(host: Host, name: str, order: BootOrder) -> None:
    if order.seed:
        volumes.put(host, name, order.seed)
    elif volumes.find(host, name) is None:
        raise SiteError(
            Problem(
                summary="The node's seed is gone",
                detail=f"{name} is not in pool {host.site.pool} of site {host.site.name}, and the spec no longer says what "
                f"{order.node.name} was told at its first boot. `pragmaspec apply` makes the node as the spec says now.",
            )
        )


def _keep_disk(host: Host, name: str, wanted_bytes: int, base: str) -> None:
    """Check that the disk there stands on the image that is wanted, and grow it when it is too small."""
    volume = volumes.find(host, name)
    if volume is None:
        raise SiteError(Problem(summary="A volume vanished", detail=f"{name} was removed meanwhile. Apply again."))
    root = parsed(volume.XMLDesc(0))
    stands_on = root.findtext("backingStore/path", "")
    if stands_on != base:
        raise SiteConflictError(
            Problem(
                summary="The node's disk stands on another image",
                detail=f"{name} at site {host.site.name} stands on {stands_on or 'no image'}, the plan wants {base}; it was not "
                f"touched. If its data is not needed: virsh -c {host.site.uri} vol-delete --pool {host.site.pool} {name}",
            )
        )
    if int(root.findtext("capacity", "0")) < wanted_bytes and not host.connection.is_pretended:
        # libvirt lets qemu-img find out the format here; an overlay of ours is qcow2 by its header, which no guest can write to.
        volume.resize(wanted_bytes, 0)


def _defined(host: Host, domain: OurDomain | None, parts: DomainParts) -> libvirt.virDomain:
    if domain is not None and domain.owner.definition == definition_digest(parts):
        return domain.handle
    return _define(host, parts)


def _define(host: Host, parts: DomainParts) -> libvirt.virDomain:
    """Define the domain. The first definition at a daemon is made alone.

    libxml2 up to 2.9 makes its types of XML Schema ready when the first schema is read, and two threads that come to that at once
    break it (xmlRelaxNGInitTypes): the daemon's threads, or ours with libvirt's test driver.
    """
    uri = host.site.uri
    with nullcontext() if uri in _defined_at else _first_definition:
        flags = libvirt.VIR_DOMAIN_DEFINE_VALIDATE
        domain = cast("libvirt.virDomain", host.handle().defineXMLFlags(domain_xml(parts), flags))
        _defined_at.add(uri)
        return domain


def _start(domain: libvirt.virDomain, *, held: bool) -> None:
    reach("libvirt.domain.defined")
    try:
        domain.createWithFlags(libvirt.VIR_DOMAIN_START_PAUSED if held else 0)
    except libvirt.libvirtError as error:
        if code_of(error) != libvirt.VIR_ERR_OPERATION_INVALID or not domain.isActive():
            raise
