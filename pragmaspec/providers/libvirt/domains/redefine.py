"""An existing machine, brought into line with an request: never started from less than it had, unless allowed."""

from typing import NamedTuple
from xml.etree.ElementTree import Element, tostring

import libvirt

from pragmaspec.errors import SiteConflictError
from pragmaspec.failpoints import reach
from pragmaspec.planning.drift.condition import layer_text
from pragmaspec.planning.observed import MachineStatus
from pragmaspec.providers.base import BootRequest
from pragmaspec.providers.libvirt import names, volumes
from pragmaspec.providers.libvirt.domains import lookup as domains
from pragmaspec.providers.libvirt.domains import power
from pragmaspec.providers.libvirt.domains.additions import with_additions
from pragmaspec.providers.libvirt.domains.compare import Comparison, compared, power_of
from pragmaspec.providers.libvirt.domains.definition import interface_mac, kib, own_macs, running
from pragmaspec.providers.libvirt.domains.disk_chain import snapshot_files
from pragmaspec.providers.libvirt.domains.files import belongings
from pragmaspec.providers.libvirt.domains.xml import DomainConfig, domain_element
from pragmaspec.providers.libvirt.errors import absent_is_fine
from pragmaspec.providers.libvirt.host import Host
from pragmaspec.providers.libvirt.xml import parsed


class ExistingDomain(NamedTuple):
    """A domain of ours, and how it differs from what is ordered."""

    domain: domains.ObservedDomain
    status: MachineStatus
    compared: Comparison

    @property
    def is_otherwise(self) -> bool:
        """True if its definition must be rewritten."""
        return any(each.defined for each in self.compared.differences)

    @property
    def fits(self) -> bool:
        """True if saved memory fits the machine as ordered."""
        return all(each.repair != "restart" for each in self.compared.differences)

    @property
    def keeps_disk(self) -> bool:
        """True if it starts from another file than its recorded disk, which then must not be touched."""
        return bool(self.compared.layers) and not self.is_otherwise

    @property
    def saved(self) -> bool:
        """True if its memory is saved on disk."""
        return self.domain.saved


def examined(host: Host, domain: domains.OwnDomain, parts: DomainConfig) -> ExistingDomain | None:
    """``domain`` held against ``parts``; None when it is gone by now."""
    with absent_is_fine(libvirt.VIR_ERR_NO_DOMAIN):
        seen = domains.seen(domain.handle)
        return ExistingDomain(seen, power_of(seen, asked=True)[0], compared(host, seen, parts))
    return None


def made_ready(host: Host, there: ExistingDomain | None, parts: DomainConfig, request: BootRequest) -> None:
    """Bring a machine that does not run to where it can be defined and started.

    Raises SiteConflictError when it would start from less than it has, which the request does not allow.
    """
    if there is None:
        return
    if there.status == "crashed":
        power.take_power(there.domain.handle)
    if there.is_otherwise:
        require_no_loss(host, there, request)
    if there.saved and request.discard_memory:
        _forget(there.domain.handle)
    elif there.saved and not there.fits:
        raise SiteConflictError(
            "A node's memory is saved with another definition",
            f"{parts.node.name} at site {host.site.name} would go on as it was when its memory was saved, not as it "
            "is wanted now; it was not touched. Plan again: the plan shows what is lost. To discard its memory by hand: "
            f"virsh -c {host.site.uri} managedsave-remove {there.domain.name}",
        )


def require_no_loss(host: Host, there: ExistingDomain, request: BootRequest) -> None:
    """Raise SiteConflictError when a new definition would leave out what stands above the disk, unless the request allows it."""
    found = there.compared.layers
    if found and not request.discard_layers:
        remedy = f" To keep it: {there.compared.remedy}." if there.compared.remedy else ""
        raise SiteConflictError(
            "A node would lose what is in snapshots",
            f"{request.node.name} at site {host.site.name} writes to {', '.join(map(layer_text, found))}, and a new "
            f"definition would start it from {host.path(names.disk_volume(request.node.name, request.mark))}; it was not touched."
            f"{remedy} Plan again to see what would be lost.",
        )


def redefinition(there: ExistingDomain, parts: DomainConfig) -> Element:
    """The wanted definition, with all additions made by hand to the existing one."""
    return with_additions(domain_element(parts), there.domain.definition)


def settle_live(there: ExistingDomain, parts: DomainConfig) -> None:
    """Change what can be changed while the machine runs: what its interfaces are plugged into, and how much memory it has."""
    active = there.domain.active
    if active is None or not any(each.repair == "live" for each in there.compared.differences):
        return
    wanted, handle = domain_element(parts), there.domain.handle
    macs = own_macs(wanted)
    asked, runs = running(wanted, macs), running(active, macs)
    for interface in active.findall("devices/interface"):
        address = interface_mac(interface)
        ours = next((each for each in wanted.findall("devices/interface") if interface_mac(each) == address), None)
        names_of = (f"interface {address}", f"link of interface {address}")
        if ours is not None and any(asked.get(name) != runs.get(name) for name in names_of):
            handle.updateDeviceFlags(_plugged_as(interface, ours), libvirt.VIR_DOMAIN_AFFECT_LIVE)
    if "memory in use" in runs:
        handle.setMemoryFlags(kib(active.find("memory")), libvirt.VIR_DOMAIN_AFFECT_LIVE)


def _plugged_as(interface: Element, ours: Element) -> str:
    """``interface`` of a running machine, plugged in where ``ours`` is, with its link up."""
    interface.set("type", ours.get("type", "network"))
    for tag in ("source", "link", "target", "virtualport"):
        for child in interface.findall(tag):
            interface.remove(child)
    interface.extend(ours.findall("source"))
    link = Element("link", {"state": "up"})
    interface.append(link)
    return tostring(interface, encoding="unicode")


def drop_layers(host: Host, there: ExistingDomain) -> None:
    """Remove the snapshots that a machine no longer starts from: libvirt's metadata and their files in the pool."""
    made: dict[str, str] = {}
    if there.domain.snapshots:
        for snapshot in there.domain.handle.listAllSnapshots(0):
            files = snapshot_files(parsed(snapshot.getXMLDesc(0)))
            if files:
                made |= files
                snapshot.delete(libvirt.VIR_DOMAIN_SNAPSHOT_DELETE_METADATA_ONLY)
    reach("libvirt.snapshots.forgotten")
    volumes.reread(host)
    for file in dict.fromkeys((*(layer.file for layer in there.compared.layers), *made)):
        directory, _, name = file.rpartition("/")
        if directory == host.directory:
            volumes.remove(host, name)


def drop_files(host: Host, request: BootRequest) -> None:
    """Remove the files of snapshots of an undefined machine."""
    volumes.reread(host)
    for name in belongings(host, request.node, request.mark, frozenset()).ours:
        if names.parsed_node_volume(name) is None:
            volumes.remove(host, name)


def _forget(domain: libvirt.virDomain) -> None:
    with absent_is_fine(libvirt.VIR_ERR_OPERATION_INVALID):
        domain.managedSaveRemove(0)
    reach("libvirt.memory.forgotten")
