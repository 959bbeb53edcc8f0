"""Boot of a node: its volumes, its definition, its start. Every step continues where an interrupted run stopped."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import cast
from xml.etree.ElementTree import Element

import libvirt

from pragmaspec.errors import SiteConflictError, SiteError
from pragmaspec.failpoints import reach
from pragmaspec.providers.base import BootRequest
from pragmaspec.providers.libvirt import names, volumes
from pragmaspec.providers.libvirt.domains.boot_disk import create_filled_overlay, create_overlay
from pragmaspec.providers.libvirt.domains.expected import domain_config, interface_link, staged_paths
from pragmaspec.providers.libvirt.domains.extra_disks import create_extra_disks, remove_discarded_disks, require_volumes
from pragmaspec.providers.libvirt.domains.hotplug import after_attach
from pragmaspec.providers.libvirt.domains.kvm_probe import kvm_stopped, resolve_virt_type
from pragmaspec.providers.libvirt.domains.lookup import require_own_or_free
from pragmaspec.providers.libvirt.domains.power import apply_autostart, resume_or_fail
from pragmaspec.providers.libvirt.domains.redefine import (
    ExistingDomain,
    examine,
    prepare_start,
    redefinition,
    remove_layers,
    remove_snapshot_files,
    require_no_layer_loss,
    update_live,
)
from pragmaspec.providers.libvirt.domains.xml import DomainConfig, InterfaceLink, domain_element
from pragmaspec.providers.libvirt.errors import as_site_error, code_of, kind_of, message_of
from pragmaspec.providers.libvirt.host import Host
from pragmaspec.providers.libvirt.host_cpus import require_cpus
from pragmaspec.providers.libvirt.host_devices import require_devices
from pragmaspec.providers.libvirt.images.stage import find_damage
from pragmaspec.providers.libvirt.networks.networks import find_network, require_bridge
from pragmaspec.providers.libvirt.networks.public_addresses import reserve_address
from pragmaspec.providers.libvirt.volumes import PRIVATE, raw_xml
from pragmaspec.providers.libvirt.xml import parse, to_text
from pragmaspec.resources import Node, Outputs, PublicGrant, StagedImage

_KVM_FAILURES = ("internal", "refused", "unsupported")

_first_definition = threading.Lock()
_defined_at: set[str] = set()
"""URIs of the daemons that have read their schema for this process."""


def boot(host: Host, request: BootRequest) -> Outputs:
    """Create and start the node as requested. Returns once QEMU runs, without waiting for the guest."""
    node, mark = request.node, request.mark
    domain = require_own_or_free(host, node, mark)
    config = domain_config(host, request, resolve_virt_type(host, staged_paths(host, request.image).get("kernel")))
    existing = examine(host, domain, config) if domain is not None else None
    if existing is not None and existing.status in ("running", "paused"):
        _update_running(host, existing, config, request)
        apply_autostart(existing.domain.handle, enabled=node.autostart)
        _reserve_addresses(host, request)
    else:
        _start(host, existing, config, request)
    return (("domain", names.domain_name(node.name, mark)), ("uuid", mark.uuid))


def check_boot(host: Host, request: BootRequest) -> None:
    """Raise SiteError when the image, a volume or a network of the node is missing."""
    _require_image(host, request.image)
    require_volumes(host, request)
    require_devices(host, request.node, request.own_marks)
    require_cpus(host, request.node, request.own_marks)
    links = [(nic.network, interface_link(request, nic)) for nic in request.node.nics]
    _require_networks(host, request.node, [link for _, link in links])
    for name, link in links:
        if link.bridge is not None and not host.connection.is_test_driver:
            require_bridge(host, name, link.bridge)


def _start(host: Host, existing: ExistingDomain | None, config: DomainConfig, request: BootRequest) -> None:
    """Start a machine that is off or absent."""
    check_boot(host, request)
    prepare_start(host, existing, config, request)
    if existing is None or not existing.starts_from_layer:
        _create_disk(host, request, config)
    create_extra_disks(host, request)
    if existing is None or not existing.saved or request.discard_memory:
        _create_files(host, request)
    with _processor_advice(host, request.node), _kvm_advice(host, request.node.name):
        handle = _redefine(host, existing, config, request)
        remove_discarded_disks(host, request)
        _run(host, handle, request)
        if config.platform.virt_type == "kvm" and kvm_stopped(host, handle):
            handle.destroy()
            emulated = domain_config(host, request, "qemu")
            _run(host, _define(host, redefinition(existing, emulated) if existing else domain_element(emulated)), request)


def _run(host: Host, handle: libvirt.virDomain, request: BootRequest) -> None:
    apply_autostart(handle, enabled=request.node.autostart)
    reserve = partial(_reserve_addresses, host, request)
    with after_attach(host, request.mark.uuid, reserve) if _grants(request) else nullcontext():
        _power_on(handle, paused=request.paused)


@contextmanager
def _processor_advice(host: Host, node: Node) -> Iterator[None]:
    """Add advice where libvirt refuses the processor, which the host could give when the plan was made."""
    try:
        yield
    except (libvirt.libvirtError, SiteError) as error:
        cause = error if isinstance(error, libvirt.libvirtError) else error.__cause__
        if not node.cpu or not isinstance(cause, libvirt.libvirtError) or code_of(cause) != libvirt.VIR_ERR_CPU_INCOMPATIBLE:
            raise
        raise SiteError(
            "The site cannot give this processor",
            f"{node.name} has the processor {node.cpu}, which the hypervisor of {host.title} does not have, or no longer: "
            f"{message_of(cause)}. Plan again, and write as `cpu` one of those that `pragmaspec list site` shows.",
        ) from cause


@contextmanager
def _kvm_advice(host: Host, node: str) -> Iterator[None]:
    """Add advice to errors where the spec demands KVM: it was not probed, and QEMU's message about broken KVM does not help."""
    try:
        yield
    except libvirt.libvirtError as error:
        if host.site.virt_type != "kvm" or kind_of(error) not in _KVM_FAILURES:
            raise
        advice = (
            "The site has `virt_type: kvm`, and KVM may not work there: remove the option to have it probed, or write "
            "`virt_type: qemu`."
        )
        raise as_site_error(error, f"boot {node} at {host.title}", advice=advice) from error


def _grants(request: BootRequest) -> list[PublicGrant]:
    return [grant for grant in request.allocation.public if grant.node == request.node.name]


def _reserve_addresses(host: Host, request: BootRequest) -> None:
    for grant in _grants(request):
        reserve_address(host, grant, request.mark)


def _require_image(host: Host, image: StagedImage) -> None:
    damage = find_damage(host, image)
    if not damage and volumes.find(host, names.complete_marker(image.digest)) is None:
        damage = f"it has no completion marker in pool {host.site.pool}"
    if damage:
        raise SiteError(
            "The image is not at the site",
            f"Image {image.name} of site {host.site.name} is incomplete: {damage}. Plan again, which stages it again.",
        )


def _require_networks(host: Host, node: Node, links: list[InterfaceLink]) -> None:
    for name in (link.network for link in links if link.network is not None):
        found = find_network(host, name)
        if found is None or not found.active:
            raise SiteError(
                "A node's network is not active",
                f"{node.name} is attached to the libvirt network {name}, which at site {host.site.name} "
                f"{'does not exist' if found is None else 'is stopped'}. Plan again, which repairs networks of the stack; a "
                f"network of the site itself is started with: virsh -c {host.site.uri} net-start {name}",
            )


def _update_running(host: Host, existing: ExistingDomain, config: DomainConfig, request: BootRequest) -> None:
    """Update a machine without stopping it: a definition that differs or is gone is replaced, for its next start."""
    if existing.needs_redefinition or not existing.domain.handle.isPersistent():
        require_no_layer_loss(host, existing, request)
        _define(host, redefinition(existing, config))
    update_live(existing, config)
    resume_or_fail(host, existing.domain.handle, config.node.name)


def _create_disk(host: Host, request: BootRequest, config: DomainConfig) -> None:
    """Create the disk of a domain that is off, unless it exists."""
    create = create_filled_overlay if request.overlay and not host.connection.is_test_driver else create_overlay
    if not create(host, request, config):
        _check_disk(host, names.disk_volume(request.node.name, request.mark), request.node.disk_bytes, config.base)
    reach("libvirt.disk.made")


def _create_files(host: Host, request: BootRequest) -> None:
    """Create seed and console log anew, for a domain that is off and has no saved memory."""
    node, mark = request.node, request.mark
    _write_seed(host, names.seed_volume(node.name, mark), request)
    reach("libvirt.seed.made")
    # QEMU's log daemon would create the file too, but then the pool would not list it without a refresh.
    volumes.create(host, raw_xml(names.console_volume(node.name, mark), 0, PRIVATE))


def _write_seed(host: Host, name: str, request: BootRequest) -> None:
    if request.seed:
        volumes.write_private(host, name, request.seed)
    elif volumes.find(host, name) is None:
        raise SiteError(
            "The node's seed is missing",
            f"{name} is not in pool {host.site.pool} of site {host.site.name}, and the spec no longer contains the contents of "
            f"{request.node.name}'s first seed. `pragmaspec apply` rebuilds the node as the spec describes it now.",
        )


def _check_disk(host: Host, name: str, wanted_bytes: int, base: str) -> None:
    """Require that the existing disk is based on the wanted image, and grow it when it is too small."""
    volume = volumes.find(host, name)
    if volume is None:
        raise SiteError("A volume was removed", f"{name} was removed meanwhile. Apply again.")
    root = parse(volume.XMLDesc(0))
    backing = root.findtext("backingStore/path", "")
    if backing != base:
        raise SiteConflictError(
            "The node's disk is based on another image",
            f"{name} at site {host.site.name} is based on {backing or 'no image'}, the plan wants {base}; it was not "
            f"touched. If its data is not needed: virsh -c {host.site.uri} vol-delete --pool {host.site.pool} {name}",
        )
    volumes.grow(host, volume, wanted_bytes)


def _redefine(host: Host, existing: ExistingDomain | None, config: DomainConfig, request: BootRequest) -> libvirt.virDomain:
    """Define the domain if it is absent or differs."""
    if existing is None:
        domain = _define(host, domain_element(config))
        if request.discard_layers:
            remove_snapshot_files(host, request)
        return domain
    if not existing.needs_redefinition:
        return existing.domain.handle
    domain = _define(host, redefinition(existing, config))
    if request.discard_layers:
        remove_layers(host, existing)
    return domain


def _define(host: Host, definition: Element) -> libvirt.virDomain:
    """Define the domain. The first definition at a daemon is serialised.

    libxml2 up to 2.9 initialises its XML Schema types when the first schema is read, and two threads that do this at once
    break it (xmlRelaxNGInitTypes): the daemon's threads, or ours with libvirt's test driver.
    """
    uri = host.site.uri
    with nullcontext() if uri in _defined_at else _first_definition:
        flags = libvirt.VIR_DOMAIN_DEFINE_VALIDATE
        domain = cast("libvirt.virDomain", host.handle().defineXMLFlags(to_text(definition), flags))
        _defined_at.add(uri)
        return domain


def _power_on(domain: libvirt.virDomain, *, paused: bool) -> None:
    reach("libvirt.domain.defined")
    try:
        domain.createWithFlags(libvirt.VIR_DOMAIN_START_PAUSED if paused else 0)
    except libvirt.libvirtError as error:
        if code_of(error) != libvirt.VIR_ERR_OPERATION_INVALID or not domain.isActive():
            raise
