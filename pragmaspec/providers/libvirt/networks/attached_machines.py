"""Machines of any owner, running or only defined, attached to networks that are about to be removed."""

from collections.abc import Iterable, Iterator, Mapping
from xml.etree.ElementTree import Element

import libvirt

from pragmaspec.planning.drift.attached_machines import AttachedMachine
from pragmaspec.providers.libvirt.errors import ignoring
from pragmaspec.providers.libvirt.host import Host
from pragmaspec.providers.libvirt.metadata import domain_owner
from pragmaspec.providers.libvirt.networks.networks import ObservedNetwork, list_networks
from pragmaspec.providers.libvirt.xml import parse


def attached_machines(host: Host, networks: Iterable[ObservedNetwork]) -> tuple[AttachedMachine, ...]:
    """The machines attached to ``networks``, sorted by network and name.

    Checks the active and inactive definitions of all machines of the host, and the ports of other drivers (containers). An
    interface may refer to the network, its bridge, or another network that uses that bridge.
    """
    removed = list(networks)
    sources = {source: network.name for network in removed for source in _sources_of(network)}
    if not sources:
        return ()
    for other in list_networks(host):
        bridge = other.root.find("bridge")
        shared = sources.get(("bridge", bridge.get("name", ""))) if bridge is not None else None
        if shared is not None:
            sources.setdefault(("network", other.name), shared)
    machines = {(each.network, each.machine): each for each in _attached(host, sources)}
    names = {each.machine for each in machines.values()}
    for network in removed:
        for machine in _ports(network):
            if machine not in names:
                machines.setdefault((network.name, machine), AttachedMachine(machine=machine, network=network.name))
    return tuple(machines[key] for key in sorted(machines))


def _sources_of(network: ObservedNetwork) -> Iterator[tuple[str, str]]:
    """The sources of interfaces attached to the network. A bridge of the host itself remains when the network is removed."""
    yield "network", network.name
    bridge = network.root.find("bridge")
    if network.root.find("forward") is None and bridge is not None and bridge.get("name"):
        yield "bridge", bridge.get("name", "")


def _attached(host: Host, sources: Mapping[tuple[str, str], str]) -> Iterator[AttachedMachine]:
    for domain in host.handle().listAllDomains(0):
        with ignoring(libvirt.VIR_ERR_NO_DOMAIN):
            texts = {domain.XMLDesc(0), domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)}
            for root in map(parse, texts):
                owner = domain_owner(root)
                for interface in root.iterfind("devices/interface"):
                    network = next((sources[source] for source in _sources(interface) if source in sources), None)
                    if network is not None:
                        yield AttachedMachine(
                            machine=domain.name(),
                            network=network,
                            lineage=owner.lineage if owner else "",
                            address=owner.address if owner else "",
                            unplug=_detach_command(host, domain, interface),
                        )


def _sources(interface: Element) -> Iterator[tuple[str, str]]:
    for source in interface.iterfind("source"):
        yield "network", source.get("network", "")
        yield "bridge", source.get("bridge", "") or source.get("dev", "")


def _detach_command(host: Host, domain: libvirt.virDomain, interface: Element) -> str:
    """The command that detaches the interface from the machine, now and permanently."""
    mac = interface.find("mac")
    mac_option = f" --mac {mac.get('address', '')}" if mac is not None else ""
    scope = "--persistent" if domain.isPersistent() else "--live"
    kind = interface.get("type", "network")
    return f"virsh -c {host.site.uri} detach-interface {domain.name()} {kind}{mac_option} {scope}"


def _ports(network: ObservedNetwork) -> Iterator[str]:
    """The names of the machines with ports on the network."""
    with ignoring(libvirt.VIR_ERR_NO_SUPPORT, libvirt.VIR_ERR_NO_NETWORK, libvirt.VIR_ERR_OPERATION_INVALID):
        for port in network.handle.listAllPorts(0) if network.active else ():
            with ignoring(libvirt.VIR_ERR_NO_NETWORK_PORT):
                yield parse(port.XMLDesc(0)).findtext("owner/name", "")
