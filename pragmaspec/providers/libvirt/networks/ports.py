"""Interfaces of running machines that hang on nothing: their network was stopped and started again meanwhile.

libvirt gives every interface on a network a port, and forgets the ports when the network stops; machines that run keep a device
that is in no bridge any more, until they are started anew.
"""

import libvirt

from pragmaspec.providers.libvirt.errors import absent_is_fine
from pragmaspec.providers.libvirt.host import Host
from pragmaspec.providers.libvirt.networks.networks import ObservedNetwork
from pragmaspec.providers.libvirt.xml import parsed


def unplugged(host: Host, lineage: str, networks: list[ObservedNetwork]) -> dict[str, tuple[str, ...]]:
    """By name of the machine, the MACs of the interfaces that have lost their port; only machines of the stack, and only those.

    A network on a bridge of the host leaves its machines there when it stops.
    """
    plugs = {each.name: each for each in networks if each.active and _has_its_own_bridge(each)}
    ports: dict[str, set[str] | None] = {}
    found: dict[str, tuple[str, ...]] = {}
    for domain in host.handle().listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE):
        if not domain.name().endswith(f".{lineage[:8]}"):
            continue
        with absent_is_fine(libvirt.VIR_ERR_NO_DOMAIN):
            loose = []
            for interface in parsed(domain.XMLDesc(0)).iterfind("devices/interface"):
                source, mac = interface.find("source"), interface.find("mac")
                network = plugs.get(source.get("network", "")) if source is not None else None
                if source is None or mac is None or network is None or not source.get("portid"):
                    continue
                if network.name not in ports:
                    ports[network.name] = _ports(network)
                there = ports[network.name]
                if there is not None and source.get("portid") not in there:
                    loose.append(mac.get("address", "").lower())
            if loose:
                found[domain.name()] = tuple(loose)
    return found


def _has_its_own_bridge(network: ObservedNetwork) -> bool:
    forward = network.root.find("forward")
    return forward is None or forward.get("mode", "nat") in ("nat", "route", "open")


def _ports(network: ObservedNetwork) -> set[str] | None:
    """The ports that the network knows; None: its libvirt has none, or it has just gone."""
    with absent_is_fine(libvirt.VIR_ERR_NO_SUPPORT, libvirt.VIR_ERR_NO_NETWORK):
        return {port.UUIDString() for port in network.handle.listAllPorts(0)}
    return None
