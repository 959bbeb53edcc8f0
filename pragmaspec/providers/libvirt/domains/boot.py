"""Making a node exist and run: its volumes, its definition, its start. Every step goes on from what an interrupted run left."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import cast
from xml.etree.ElementTree import Element

import libvirt

from pragmaspec.errors import SiteConflictError, SiteError
from pragmaspec.failpoints import reach
from pragmaspec.providers.base import BootRequest
from pragmaspec.providers.libvirt import names, volumes
from pragmaspec.providers.libvirt.domains import lookup as domains
from pragmaspec.providers.libvirt.domains import power
from pragmaspec.providers.libvirt.domains import redefine as settling
from pragmaspec.providers.libvirt.domains.boot_disk import disk_filled, disk_made
from pragmaspec.providers.libvirt.domains.expected import domain_parts, link, staged_paths
from pragmaspec.providers.libvirt.domains.hotplug import after_plugging
from pragmaspec.providers.libvirt.domains.kvm_probe import kvm_stopped, settle
from pragmaspec.providers.libvirt.domains.power import start_with_host
from pragmaspec.providers.libvirt.domains.xml import DomainConfig, InterfaceLink, domain_element
from pragmaspec.providers.libvirt.errors import as_site_error, code_of, kind_of
from pragmaspec.providers.libvirt.host import Host
from pragmaspec.providers.libvirt.images import stage as staging
from pragmaspec.providers.libvirt.networks import networks
from pragmaspec.providers.libvirt.networks import public_addresses as addresses
from pragmaspec.providers.libvirt.volumes import PRIVATE, raw_xml
from pragmaspec.providers.libvirt.xml import parsed, text
from pragmaspec.resources import Node, Outputs, PublicGrant, StagedImage

_KVM_FAILURES = ("internal", "refused", "unsupported")

_first_definition = threading.Lock()
_defined_at: set[str] = set()
"""URIs of the daemons that have read their schema for this process."""


def boot(host: Host, request: BootRequest) -> Outputs:
    """Make the node run as ``request`` says; returns once QEMU runs, without waiting for the guest."""
    node, mark = request.node, request.mark
    domain = domains.require_free_or_ours(host, node, mark)
    parts = domain_parts(host, request, settle(host, staged_paths(host, request.image).get("kernel")))
    there = settling.examined(host, domain, parts) if domain is not None else None
    if there is not None and there.status in ("running", "paused"):
        _settle_running(host, there, parts, request)
        start_with_host(there.domain.handle, yes=node.autostart)
        _reserve(host, request)
    else:
        check(host, request)
        settling.made_ready(host, there, parts, request)
        if there is None or not there.keeps_disk:
            _make_disk(host, request, parts)
        if there is None or not there.saved or request.discard_memory:
            _make_files(host, request)
        with _kvm_doubted(host, node.name):
            handle = _defined(host, there, parts, request)
            _run(host, handle, request)
            if parts.machine.virt_type == "kvm" and kvm_stopped(host, handle):
                handle.destroy()
                emulated = domain_parts(host, request, "qemu")
                _run(host, _define(host, settling.redefinition(there, emulated) if there else domain_element(emulated)), request)
    return (("domain", names.domain_name(node.name, mark)), ("uuid", mark.uuid))


def _run(host: Host, handle: libvirt.virDomain, request: BootRequest) -> None:
    start_with_host(handle, yes=request.node.autostart)
    with after_plugging(host, request.mark.uuid, lambda: _reserve(host, request)) if _granted(request) else nullcontext():
        _start(handle, held=request.paused)


def check(host: Host, request: BootRequest) -> None:
    """Raise SiteError when what the node needs in request to boot is not there: its image, its networks."""
    _require_image(host, request.image)
    links = [(nic.network, link(request, nic)) for nic in request.node.nics]
    _require_networks(host, request.node, [each for _, each in links])
    for called, each in links:
        if each.bridge is not None and not host.connection.is_pretended:
            networks.require_bridge(host, called, each.bridge)


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


def _granted(request: BootRequest) -> list[PublicGrant]:
    return [grant for grant in request.allocation.public if grant.node == request.node.name]


def _reserve(host: Host, request: BootRequest) -> None:
    for grant in _granted(request):
        addresses.reserve(host, grant, request.mark)


def _require_image(host: Host, image: StagedImage) -> None:
    why = staging.damage(host, image)
    if not why and volumes.find(host, names.complete_marker(image.digest)) is None:
        why = f"it is not marked as whole in pool {host.site.pool}"
    if why:
        raise SiteError(
            "The image is not at the site",
            f"Image {image.name} of site {host.site.name} is not whole: {why}. Plan again, and it is staged again.",
        )


def _require_networks(host: Host, node: Node, links: list[InterfaceLink]) -> None:
    for name in (each.network for each in links if each.network is not None):
        seen = networks.find(host, name)
        if seen is None or not seen.active:
            raise SiteError(
                "A node's network is not up",
                f"{node.name} is plugged into the libvirt network {name}, which at site {host.site.name} "
                f"{'does not exist' if seen is None else 'is stopped'}. Plan again, and what is ours is made again; a "
                f"network of the site itself is started with: virsh -c {host.site.uri} net-start {name}",
            )


def _settle_running(host: Host, there: settling.ExistingDomain, parts: DomainConfig, request: BootRequest) -> None:
    """A machine that runs keeps running: a definition that differs or is gone is written anew, for its next start."""
    if there.is_otherwise or not there.domain.handle.isPersistent():
        settling.require_no_loss(host, there, request)
        _define(host, settling.redefinition(there, parts))
    settling.settle_live(there, parts)
    power.go_on(host, there.domain.handle, parts.node.name)


def _make_disk(host: Host, request: BootRequest, parts: DomainConfig) -> None:
    """The domain is off: an existing disk is kept."""
    made = (
        disk_filled(host, request, parts)
        if request.overlay and not host.connection.is_pretended
        else disk_made(host, request, parts)
    )
    if not made:
        _keep_disk(host, names.disk_volume(request.node.name, request.mark), request.node.disk_bytes, parts.base)
    reach("libvirt.disk.made")


def _make_files(host: Host, request: BootRequest) -> None:
    """The domain is off, and no saved memory knows them: seed and console are made anew."""
    node, mark = request.node, request.mark
    _put_seed(host, names.seed_volume(node.name, mark), request)
    reach("libvirt.seed.made")
    # Made here although QEMU's log daemon would make it too: so that the pool lists it without being read anew.
    volumes.make(host, raw_xml(names.console_volume(node.name, mark), 0, PRIVATE))


def _put_seed(host: Host, name: str, request: BootRequest) -> None:
    if request.seed:
        volumes.put(host, name, request.seed)
    elif volumes.find(host, name) is None:
        raise SiteError(
            "The node's seed is gone",
            f"{name} is not in pool {host.site.pool} of site {host.site.name}, and the spec no longer says what "
            f"{request.node.name} was told at its first boot. `pragmaspec apply` makes the node as the spec says now.",
        )


def _keep_disk(host: Host, name: str, wanted_bytes: int, base: str) -> None:
    """Check that the disk there stands on the image that is wanted, and grow it when it is too small."""
    volume = volumes.find(host, name)
    if volume is None:
        raise SiteError("A volume vanished", f"{name} was removed meanwhile. Apply again.")
    root = parsed(volume.XMLDesc(0))
    stands_on = root.findtext("backingStore/path", "")
    if stands_on != base:
        raise SiteConflictError(
            "The node's disk stands on another image",
            f"{name} at site {host.site.name} stands on {stands_on or 'no image'}, the plan wants {base}; it was not "
            f"touched. If its data is not needed: virsh -c {host.site.uri} vol-delete --pool {host.site.pool} {name}",
        )
    if int(root.findtext("capacity", "0")) < wanted_bytes and not host.connection.is_pretended:
        # libvirt lets qemu-img find out the format here; an overlay of ours is qcow2 by its header, which no guest can write to.
        volume.resize(wanted_bytes, 0)


def _defined(host: Host, there: settling.ExistingDomain | None, parts: DomainConfig, request: BootRequest) -> libvirt.virDomain:
    if there is None:
        domain = _define(host, domain_element(parts))
        if request.discard_layers:
            settling.drop_files(host, request)
        return domain
    if not there.is_otherwise:
        return there.domain.handle
    domain = _define(host, settling.redefinition(there, parts))
    if request.discard_layers:
        settling.drop_layers(host, there)
    return domain


def _define(host: Host, definition: Element) -> libvirt.virDomain:
    """Define the domain. The first definition at a daemon is made alone.

    libxml2 up to 2.9 makes its types of XML Schema ready when the first schema is read, and two threads that come to that at once
    break it (xmlRelaxNGInitTypes): the daemon's threads, or ours with libvirt's test driver.
    """
    uri = host.site.uri
    with nullcontext() if uri in _defined_at else _first_definition:
        flags = libvirt.VIR_DOMAIN_DEFINE_VALIDATE
        domain = cast("libvirt.virDomain", host.handle().defineXMLFlags(text(definition), flags))
        _defined_at.add(uri)
        return domain


def _start(domain: libvirt.virDomain, *, held: bool) -> None:
    reach("libvirt.domain.defined")
    try:
        domain.createWithFlags(libvirt.VIR_DOMAIN_START_PAUSED if held else 0)
    except libvirt.libvirtError as error:
        if code_of(error) != libvirt.VIR_ERR_OPERATION_INVALID or not domain.isActive():
            raise
