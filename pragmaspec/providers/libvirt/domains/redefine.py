"""Reconciles an existing domain with a boot request. Layers and saved memory are never lost unless the request allows it."""

from typing import NamedTuple
from xml.etree.ElementTree import Element, tostring

import libvirt

from pragmaspec.errors import SiteConflictError
from pragmaspec.failpoints import reach
from pragmaspec.planning.drift.condition import layer_text
from pragmaspec.planning.observed import MachineStatus
from pragmaspec.providers.base import BootRequest
from pragmaspec.providers.libvirt import names, volumes
from pragmaspec.providers.libvirt.domains.additions import with_additions
from pragmaspec.providers.libvirt.domains.compare import Comparison, compare_domain, power_status
from pragmaspec.providers.libvirt.domains.definition import interface_mac, memory_kib, own_macs, running_values
from pragmaspec.providers.libvirt.domains.disk_chain import snapshot_files
from pragmaspec.providers.libvirt.domains.files import find_node_files
from pragmaspec.providers.libvirt.domains.lookup import ObservedDomain, OwnDomain, observe_domain
from pragmaspec.providers.libvirt.domains.pinning import pin_live
from pragmaspec.providers.libvirt.domains.power import force_off
from pragmaspec.providers.libvirt.domains.xml import DomainConfig, domain_element
from pragmaspec.providers.libvirt.errors import ignoring
from pragmaspec.providers.libvirt.host import Host
from pragmaspec.providers.libvirt.xml import parse


class ExistingDomain(NamedTuple):
    """A domain of this stack, and its differences from the requested configuration."""

    domain: ObservedDomain
    status: MachineStatus
    comparison: Comparison

    @property
    def needs_redefinition(self) -> bool:
        """True if its definition differs."""
        return any(each.defined for each in self.comparison.differences)

    @property
    def memory_fits(self) -> bool:
        """True if its saved memory fits the requested machine."""
        return all(each.repair != "restart" for each in self.comparison.differences)

    @property
    def starts_from_layer(self) -> bool:
        """True if it starts from another file than its recorded disk, which then must not be changed."""
        return bool(self.comparison.layers) and not self.needs_redefinition

    @property
    def saved(self) -> bool:
        """True if its memory is saved on disk."""
        return self.domain.saved


def examine(host: Host, domain: OwnDomain, config: DomainConfig) -> ExistingDomain | None:
    """Compare ``domain`` with ``config``; None when it is gone by now."""
    with ignoring(libvirt.VIR_ERR_NO_DOMAIN):
        observed = observe_domain(domain.handle)
        return ExistingDomain(observed, power_status(observed, query_reason=True)[0], compare_domain(host, observed, config))
    return None


def prepare_start(host: Host, existing: ExistingDomain | None, config: DomainConfig, request: BootRequest) -> None:
    """Prepare a domain that is off to be redefined and started.

    Raises SiteConflictError when that would lose layers or saved memory, unless the request allows it.
    """
    if existing is None:
        return
    if existing.status == "crashed":
        force_off(existing.domain.handle)
    if existing.needs_redefinition:
        require_no_layer_loss(host, existing, request)
    if existing.saved and request.discard_memory:
        _discard_saved_memory(existing.domain.handle)
    elif existing.saved and not existing.memory_fits:
        raise SiteConflictError(
            "A node's saved memory belongs to another definition",
            f"{config.node.name} at site {host.site.name} would resume with the definition that its memory was saved with, not "
            "the wanted one; it was not touched. Plan again: the plan shows what is lost. To discard its memory by hand: "
            f"virsh -c {host.site.uri} managedsave-remove {existing.domain.name}",
        )


def require_no_layer_loss(host: Host, existing: ExistingDomain, request: BootRequest) -> None:
    """Raise SiteConflictError when a new definition would omit layers above the disk, unless the request allows it."""
    layers = existing.comparison.layers
    if layers and not request.discard_layers:
        remedy = f" To keep it: {existing.comparison.remedy}." if existing.comparison.remedy else ""
        raise SiteConflictError(
            "A node would lose data in snapshots",
            f"{request.node.name} at site {host.site.name} writes to {', '.join(map(layer_text, layers))}, and a new "
            f"definition would start it from {host.path(names.disk_volume(request.node.name, request.mark))}; it was not touched."
            f"{remedy} Plan again to see what would be lost.",
        )


def redefinition(existing: ExistingDomain, config: DomainConfig) -> Element:
    """The wanted definition, with all manual additions to the existing one."""
    return with_additions(domain_element(config), existing.domain.definition)


def update_live(existing: ExistingDomain, config: DomainConfig) -> None:
    """Change what can be changed while the machine runs: the networks of its interfaces, its memory in use, and pinned CPUs."""
    active = existing.domain.active
    if active is None or not any(each.repair == "live" for each in existing.comparison.differences):
        return
    wanted, handle = domain_element(config), existing.domain.handle
    macs = own_macs(wanted)
    wanted_values, found_values = running_values(wanted, macs), running_values(active, macs)
    for interface in active.findall("devices/interface"):
        mac = interface_mac(interface)
        own = next((each for each in wanted.findall("devices/interface") if interface_mac(each) == mac), None)
        keys = (f"interface {mac}", f"link of interface {mac}")
        if own is not None and any(wanted_values.get(key) != found_values.get(key) for key in keys):
            handle.updateDeviceFlags(_reattached(interface, own), libvirt.VIR_DOMAIN_AFFECT_LIVE)
    if "memory in use" in found_values:
        handle.setMemoryFlags(memory_kib(active.find("memory")), libvirt.VIR_DOMAIN_AFFECT_LIVE)
    pin_live(handle, wanted, active)


def _reattached(interface: Element, wanted: Element) -> str:
    """The XML of a running machine's ``interface``, attached to the network of ``wanted``, with its link up."""
    interface.set("type", wanted.get("type", "network"))
    for tag in ("source", "link", "target", "virtualport"):
        for child in interface.findall(tag):
            interface.remove(child)
    interface.extend(wanted.findall("source"))
    interface.append(Element("link", {"state": "up"}))
    return tostring(interface, encoding="unicode")


def remove_layers(host: Host, existing: ExistingDomain) -> None:
    """Remove the snapshots that a domain no longer starts from: libvirt's metadata and their files in the pool."""
    removed: dict[str, str] = {}
    if existing.domain.snapshots:
        for snapshot in existing.domain.handle.listAllSnapshots(0):
            files = snapshot_files(parse(snapshot.getXMLDesc(0)))
            if files:
                removed |= files
                snapshot.delete(libvirt.VIR_DOMAIN_SNAPSHOT_DELETE_METADATA_ONLY)
    reach("libvirt.snapshots.forgotten")
    volumes.refresh(host)
    for file in dict.fromkeys((*(layer.file for layer in existing.comparison.layers), *removed)):
        directory, _, name = file.rpartition("/")
        if directory == host.directory:
            volumes.remove(host, name)


def remove_snapshot_files(host: Host, request: BootRequest) -> None:
    """Remove the files of snapshots of an undefined domain."""
    volumes.refresh(host)
    for name in find_node_files(host, request.node, request.mark, frozenset()).own:
        if names.parse_node_volume(name) is None:
            volumes.remove(host, name)


def _discard_saved_memory(domain: libvirt.virDomain) -> None:
    with ignoring(libvirt.VIR_ERR_OPERATION_INVALID):
        domain.managedSaveRemove(0)
    reach("libvirt.memory.forgotten")
