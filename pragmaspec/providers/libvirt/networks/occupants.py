"""Machines of any owner, running or only defined, on networks that are about to be removed."""

from collections.abc import Iterable, Iterator, Mapping
from xml.etree.ElementTree import Element

import libvirt

from pragmaspec.planning.drift.attached_machines import AttachedMachine
from pragmaspec.providers.libvirt.errors import absent_is_fine
from pragmaspec.providers.libvirt.host import Host
from pragmaspec.providers.libvirt.metadata import domain_owner
from pragmaspec.providers.libvirt.networks.networks import ObservedNetwork, listed
from pragmaspec.providers.libvirt.xml import parsed


def occupants(host: Host, going: Iterable[ObservedNetwork]) -> tuple[AttachedMachine, ...]:
    """The machines on each network of ``going``, by network and name.

    Looked at are the definitions of all machines of the host, as they run and as they will, and the ports that other drivers
    (containers) hold. A machine may name the network, its bridge, or another network that stands on that bridge.
    """
    found = list(going)
    ways = {way: network.name for network in found for way in _ways(network)}
    if not ways:
        return ()
    for other in listed(host):
        bridge = other.root.find("bridge")
        through = ways.get(("bridge", bridge.get("name", ""))) if bridge is not None else None
        if through is not None:
            ways.setdefault(("network", other.name), through)
    machines = {(each.network, each.machine): each for each in _plugged(host, ways)}
    names = {each.machine for each in machines.values()}
    for network in found:
        for machine in _ports(network):
            if machine not in names:
                machines.setdefault((network.name, machine), AttachedMachine(machine=machine, network=network.name))
    return tuple(machines[key] for key in sorted(machines))


def _ways(network: ObservedNetwork) -> Iterator[tuple[str, str]]:
    """How an interface may name the network. A bridge of the host's own stays when the network goes."""
    yield "network", network.name
    bridge = network.root.find("bridge")
    if network.root.find("forward") is None and bridge is not None and bridge.get("name"):
        yield "bridge", bridge.get("name", "")


def _plugged(host: Host, ways: Mapping[tuple[str, str], str]) -> Iterator[AttachedMachine]:
    for domain in host.handle().listAllDomains(0):
        with absent_is_fine(libvirt.VIR_ERR_NO_DOMAIN):
            texts = {domain.XMLDesc(0), domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)}
            for root in map(parsed, texts):
                owner = domain_owner(root)
                for interface in root.iterfind("devices/interface"):
                    network = next((ways[way] for way in _sources(interface) if way in ways), None)
                    if network is not None:
                        yield AttachedMachine(
                            machine=domain.name(),
                            network=network,
                            lineage=owner.lineage if owner else "",
                            address=owner.address if owner else "",
                            unplug=_unplugging(host, domain, interface),
                        )


def _sources(interface: Element) -> Iterator[tuple[str, str]]:
    for source in interface.iterfind("source"):
        yield "network", source.get("network", "")
        yield "bridge", source.get("bridge", "") or source.get("dev", "")


def _unplugging(host: Host, domain: libvirt.virDomain, interface: Element) -> str:
    """The command that takes the interface out of the machine, now and for good."""
    mac = interface.find("mac")
    which = f" --mac {mac.get('address', '')}" if mac is not None else ""
    lasting = "--persistent" if domain.isPersistent() else "--live"
    kind = interface.get("type", "network")
    return f"virsh -c {host.site.uri} detach-interface {domain.name()} {kind}{which} {lasting}"


def _ports(network: ObservedNetwork) -> Iterator[str]:
    """The names of the holders of the network's ports."""
    with absent_is_fine(libvirt.VIR_ERR_NO_SUPPORT, libvirt.VIR_ERR_NO_NETWORK, libvirt.VIR_ERR_OPERATION_INVALID):
        for port in network.handle.listAllPorts(0) if network.active else ():
            with absent_is_fine(libvirt.VIR_ERR_NO_NETWORK_PORT):
                yield parsed(port.XMLDesc(0)).findtext("owner/name", "")
