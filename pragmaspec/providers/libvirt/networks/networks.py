"""Libvirt networks at the site: all listed with their owners, the stack's own created, repaired and removed."""

from collections.abc import Iterator
from typing import NamedTuple
from xml.etree.ElementTree import Element

import libvirt
from msgspec.structs import replace

from pragmaspec.errors import SiteConflictError, SiteError
from pragmaspec.failpoints import reach
from pragmaspec.planning.observed import SiteNetwork
from pragmaspec.providers.libvirt.errors import as_site_error, code_of, ignoring, message_of, missing_bridge_advice
from pragmaspec.providers.libvirt.host import Host
from pragmaspec.providers.libvirt.host_advice import host_advice
from pragmaspec.providers.libvirt.metadata import network_name, network_owner
from pragmaspec.providers.libvirt.networks.xml import NetworkConfig, network_xml
from pragmaspec.providers.libvirt.xml import parse
from pragmaspec.resources import STANDARD_MTU, Mark


class ObservedNetwork(NamedTuple):
    """A network and its state; ``label`` is its name within its cluster, empty for a foreign network.

    ``root`` is its active definition; ``defined`` the one for its next start: the same object where they do not differ.
    """

    name: str
    active: bool
    owner: Mark | None
    label: str
    root: Element
    handle: libvirt.virNetwork
    defined: Element


def list_networks(host: Host) -> Iterator[ObservedNetwork]:
    """Every network; one that disappears meanwhile is omitted."""
    handle = host.handle()
    networks = handle.listAllNetworks(0)
    active = {network.name() for network in handle.listAllNetworks(libvirt.VIR_CONNECT_LIST_NETWORKS_ACTIVE)}
    for network in networks:
        with ignoring(libvirt.VIR_ERR_NO_NETWORK):
            yield _observe(network, active=network.name() in active)


def _observe(network: libvirt.virNetwork, *, active: bool) -> ObservedNetwork:
    root = parse(network.XMLDesc(0))
    defined = root
    if active and root.find("ip/dhcp") is not None:
        # Only the entries of a DHCP server ever differ. The test driver does not distinguish the two.
        with ignoring(libvirt.VIR_ERR_INVALID_ARG):
            defined = parse(network.XMLDesc(libvirt.VIR_NETWORK_XML_INACTIVE)) if network.isPersistent() else root
    return ObservedNetwork(
        name=network.name(),
        active=active,
        owner=network_owner(root),
        label=network_name(root),
        root=root,
        handle=network,
        defined=defined,
    )


def mtu_of(element: Element) -> int:
    """The MTU in the definition of a network or an interface, in bytes."""
    mtu = element.find("mtu")
    size = mtu.get("size", "") if mtu is not None else ""
    return int(size) if size.isdecimal() else STANDARD_MTU


def site_mtu(host: Host, root: Element) -> int:
    """The MTU of a network of the site: that of its definition, else that of the host bridge that it uses."""
    forward, bridge = root.find("forward"), root.find("bridge")
    if root.find("mtu") is None and forward is not None and forward.get("mode") == "bridge" and bridge is not None:
        return host_bridge(host, bridge.get("name", "")).mtu
    return mtu_of(root)


def site_network(host: Host, network: ObservedNetwork) -> SiteNetwork:
    """A network of the site itself, as planning needs it."""
    return SiteNetwork(name=network.name, state="up" if network.active else "stopped", mtu=site_mtu(host, network.root))


def public_bridge(host: Host) -> SiteNetwork | None:
    """The public bridge of the site's options, if any."""
    name = host.site.public.bridge if host.site.public is not None else None
    return host_bridge(host, name) if name is not None else None


def host_bridge(host: Host, name: str) -> SiteNetwork:
    """A bridge of the host. Without libvirt's interface driver, and with the test driver, it is assumed to be up."""
    if host.connection.is_test_driver:
        return SiteNetwork(name=name)
    try:
        root = parse(host.handle().interfaceLookupByName(name).XMLDesc(0))
    except libvirt.libvirtError as error:
        return SiteNetwork(name=name, state="absent" if code_of(error) == libvirt.VIR_ERR_NO_INTERFACE else "up")
    return SiteNetwork(name=name, state="other" if root.get("type") == "ethernet" else "up", mtu=mtu_of(root))


def start_public_network(host: Host, network: ObservedNetwork) -> None:
    """Start the site's own network of a public address. Raises SiteError with the command when that fails."""
    if network.active:
        return
    try:
        network.handle.create()
    except libvirt.libvirtError as error:
        if not network.handle.isActive():
            command = f"virsh -c {host.site.uri} net-start {network.name}"
            raise as_site_error(
                error,
                f"start public network {network.name} of {host.title}",
                advice=f"{host_advice(message_of(error))} Once that is repaired, start it: {command}".strip(),
            ) from error


def find_network(host: Host, name: str) -> ObservedNetwork | None:
    """The network ``name``, or None."""
    with ignoring(libvirt.VIR_ERR_NO_NETWORK):
        network = host.handle().networkLookupByName(name)
        return _observe(network, active=bool(network.isActive()))
    return None


def ensure_network(host: Host, config: NetworkConfig, claim: str) -> bool:
    """Create or repair the network. Return True if it is new.

    Its unique name is the claim: libvirt gives it to exactly one definition. ``claim`` is its human-readable title.
    Raises SiteConflictError naming the holder when another owner has the name.
    """
    existing = find_network(host, config.name)
    if existing is not None:
        _require_own(host, existing, config, claim)
        _repair(host, existing, config)
        return False
    if config.bridge is not None:
        require_bridge(host, config.label, config.bridge)
    try:
        network = host.handle().networkDefineXML(network_xml(config))
    except libvirt.libvirtError:
        existing = find_network(host, config.name)  # A concurrent claim may have been first: the error then names its owner.
        if existing is None:
            raise
        _require_own(host, existing, config, claim)
        raise
    reach("libvirt.network.defined")
    try:
        _start(network, config)
    except BaseException:
        remove_network(network)
        raise
    return True


def _start(network: libvirt.virNetwork, config: NetworkConfig) -> None:
    if config.started:
        network.create()
        reach("libvirt.network.started")
        network.setAutostart(1)


def _require_own(host: Host, network: ObservedNetwork, config: NetworkConfig, claim: str) -> None:
    if network.owner is not None and network.owner.is_for(config.mark):
        return
    raise conflict_error(host, claim, network.owner.owner if network.owner else f"the libvirt network {network.name}")


def conflict_error(host: Host, claim: str, holder: str) -> SiteConflictError:
    """The error for a claim that another owner holds."""
    return SiteConflictError("Another owner holds a planned resource", f"{claim} at site {host.site.name} is held by {holder}.")


def require_bridge(host: Host, network: str, bridge: str) -> None:
    """Raise SiteError for a missing bridge now rather than when the first guest starts. Unknown counts as present."""
    try:
        host.handle().interfaceLookupByName(bridge)
    except libvirt.libvirtError as error:
        if code_of(error) == libvirt.VIR_ERR_NO_INTERFACE:
            raise SiteError(
                "The bridge does not exist",
                f"Network {network} of site {host.site.name} needs bridge {bridge}. {missing_bridge_advice(bridge)}",
            ) from error


def _repair(host: Host, network: ObservedNetwork, config: NetworkConfig) -> None:
    """Repair one of the stack's networks. It is restarted only while no guest, which would be disconnected, is attached."""
    if not _matches(network.root, config):
        if config.bridge is not None:
            require_bridge(host, config.label, config.bridge)
        host.handle().networkDefineXML(network_xml(replace(config, uuid=network.handle.UUIDString())))
        if network.active and not _has_ports(network.handle):
            network.handle.destroy()
            network.handle.create()
    if config.started and not network.active:
        _start(network.handle, config)


def _matches(root: Element, config: NetworkConfig) -> bool:
    forward, bridge = root.find("forward"), root.find("bridge")
    host_bridge_name = bridge.get("name") if forward is not None and bridge is not None else None
    # The MTU of a host bridge belongs to the host.
    return host_bridge_name == config.bridge and (config.bridge is not None or mtu_of(root) == config.mtu)


def _has_ports(network: libvirt.virNetwork) -> bool:
    try:
        return bool(network.listAllPorts(0))
    except libvirt.libvirtError as error:
        if code_of(error) == libvirt.VIR_ERR_NO_SUPPORT:
            return False
        raise


def remove_network(network: libvirt.virNetwork) -> None:
    """Stop and undefine the network. Stopped or absent: no error."""
    with ignoring(libvirt.VIR_ERR_NO_NETWORK, libvirt.VIR_ERR_OPERATION_INVALID):
        if network.isActive():
            network.destroy()
    reach("libvirt.network.stopped")
    with ignoring(libvirt.VIR_ERR_NO_NETWORK):
        network.undefine()
