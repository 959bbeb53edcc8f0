"""Interfaces of running machines without a port: their network was stopped and started again meanwhile.

libvirt gives every interface on a network a port, and discards the ports when the network stops; running machines keep a device
that is no longer in any bridge, until they are restarted.
"""

import libvirt

from pragmaspec.providers.libvirt.errors import ignoring
from pragmaspec.providers.libvirt.host import Host
from pragmaspec.providers.libvirt.networks.networks import ObservedNetwork
from pragmaspec.providers.libvirt.xml import parse


def interfaces_without_port(host: Host, lineage: str, networks: list[ObservedNetwork]) -> dict[str, tuple[str, ...]]:
    """The MACs of interfaces that have lost their port, by machine of the stack; without unaffected machines.

    Machines on a network that uses a host bridge stay attached when it stops.
    """
    bridged = {each.name: each for each in networks if each.active and _has_own_bridge(each)}
    ports: dict[str, set[str] | None] = {}
    found: dict[str, tuple[str, ...]] = {}
    for domain in host.handle().listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE):
        if not domain.name().endswith(f".{lineage[:8]}"):
            continue
        with ignoring(libvirt.VIR_ERR_NO_DOMAIN):
            detached = []
            for interface in parse(domain.XMLDesc(0)).iterfind("devices/interface"):
                source, mac = interface.find("source"), interface.find("mac")
                network = bridged.get(source.get("network", "")) if source is not None else None
                if source is None or mac is None or network is None or not source.get("portid"):
                    continue
                if network.name not in ports:
                    ports[network.name] = _ports(network)
                existing = ports[network.name]
                if existing is not None and source.get("portid") not in existing:
                    detached.append(mac.get("address", "").lower())
            if detached:
                found[domain.name()] = tuple(detached)
    return found


def _has_own_bridge(network: ObservedNetwork) -> bool:
    forward = network.root.find("forward")
    return forward is None or forward.get("mode", "nat") in ("nat", "route", "open")


def _ports(network: ObservedNetwork) -> set[str] | None:
    """The UUIDs of the network's ports; None: not supported by its libvirt, or the network is gone."""
    with ignoring(libvirt.VIR_ERR_NO_SUPPORT, libvirt.VIR_ERR_NO_NETWORK):
        return {port.UUIDString() for port in network.handle.listAllPorts(0)}
    return None
