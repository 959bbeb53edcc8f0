"""Libvirt networks at the site: all listed with their marks, ours made, repaired and removed."""

from collections.abc import Iterator
from typing import NamedTuple
from xml.etree.ElementTree import Element

import libvirt

from pragmaspec.errors import SiteConflictError, SiteError
from pragmaspec.failpoints import reach
from pragmaspec.planning.observed import SiteNetwork
from pragmaspec.providers.libvirt.errors import absent_is_fine, as_site_error, code_of, missing_bridge, words_of
from pragmaspec.providers.libvirt.host import Host
from pragmaspec.providers.libvirt.host_advice import host_advice
from pragmaspec.providers.libvirt.metadata import Owner, network_name, network_owner
from pragmaspec.providers.libvirt.networks.xml import STANDARD_MTU, NetworkConfig, network_xml
from pragmaspec.providers.libvirt.xml import parsed


class ObservedNetwork(NamedTuple):
    """A network as a listing shows it; ``called`` is what its cluster calls it, empty when it is not ours.

    ``root`` is how it runs; ``defined`` how it will run when it is started anew: the same object where there is no difference.
    """

    name: str
    active: bool
    owner: Owner | None
    called: str
    root: Element
    handle: libvirt.virNetwork
    defined: Element


def listed(host: Host) -> Iterator[ObservedNetwork]:
    """Every network; one that vanishes meanwhile is left out."""
    handle = host.handle()
    every = handle.listAllNetworks(0)
    active = {network.name() for network in handle.listAllNetworks(libvirt.VIR_CONNECT_LIST_NETWORKS_ACTIVE)}
    for network in every:
        with absent_is_fine(libvirt.VIR_ERR_NO_NETWORK):
            yield _seen(network, active=network.name() in active)


def _seen(network: libvirt.virNetwork, *, active: bool) -> ObservedNetwork:
    root = parsed(network.XMLDesc(0))
    defined = root
    if active and root.find("ip/dhcp") is not None:
        # Only the entries of a DHCP server ever differ. The test driver cannot tell the two apart.
        with absent_is_fine(libvirt.VIR_ERR_INVALID_ARG):
            defined = parsed(network.XMLDesc(libvirt.VIR_NETWORK_XML_INACTIVE)) if network.isPersistent() else root
    return ObservedNetwork(
        name=network.name(),
        active=active,
        owner=network_owner(root),
        called=network_name(root),
        root=root,
        handle=network,
        defined=defined,
    )


def mtu_of(element: Element) -> int:
    """The MTU that a network or an interface says, in bytes."""
    mtu = element.find("mtu")
    size = mtu.get("size", "") if mtu is not None else ""
    return int(size) if size.isdecimal() else STANDARD_MTU


def site_mtu(host: Host, root: Element) -> int:
    """The MTU of a network that is not ours: what it says, else that of the host's bridge that it stands on."""
    forward, bridge = root.find("forward"), root.find("bridge")
    if root.find("mtu") is None and forward is not None and forward.get("mode") == "bridge" and bridge is not None:
        return host_bridge(host, bridge.get("name", "")).mtu
    return mtu_of(root)


def site_network(host: Host, seen: ObservedNetwork) -> SiteNetwork:
    """A network that is not ours, as planning knows it."""
    return SiteNetwork(name=seen.name, state="up" if seen.active else "stopped", mtu=site_mtu(host, seen.root))


def public_bridge(host: Host) -> SiteNetwork | None:
    """The bridge that the site's options name as public network; None: they name none."""
    name = host.site.public.bridge if host.site.public is not None else None
    return host_bridge(host, name) if name is not None else None


def host_bridge(host: Host, name: str) -> SiteNetwork:
    """A bridge of the host. Where libvirt has no driver that knows them, and at the test driver, it is taken to be up."""
    if host.connection.is_pretended:
        return SiteNetwork(name=name)
    try:
        root = parsed(host.handle().interfaceLookupByName(name).XMLDesc(0))
    except libvirt.libvirtError as error:
        return SiteNetwork(name=name, state="absent" if code_of(error) == libvirt.VIR_ERR_NO_INTERFACE else "up")
    return SiteNetwork(name=name, state="other" if root.get("type") == "ethernet" else "up", mtu=mtu_of(root))


def start_public(host: Host, seen: ObservedNetwork) -> None:
    """Start the site's own network that a public address is on. Raises SiteError with the command when it cannot be."""
    if seen.active:
        return
    try:
        seen.handle.create()
    except libvirt.libvirtError as error:
        if not seen.handle.isActive():
            command = f"virsh -c {host.site.uri} net-start {seen.name}"
            raise as_site_error(
                error,
                f"start public network {seen.name} of {host.title}",
                advice=f"{host_advice(words_of(error))} Once that is mended, start it: {command}".strip(),
            ) from error


def find(host: Host, name: str) -> ObservedNetwork | None:
    """The network called ``name``, or None."""
    with absent_is_fine(libvirt.VIR_ERR_NO_NETWORK):
        network = host.handle().networkLookupByName(name)
        return _seen(network, active=bool(network.isActive()))
    return None


def ensure(host: Host, parts: NetworkConfig, claim: str) -> bool:
    """Make the network be there as ``parts`` says; whether it is new.

    Its unique name is the claim: libvirt gives it to exactly one definition. ``claim`` says for people what it stands for.
    Raises SiteConflictError naming the holder when somebody else has it.
    """
    seen = find(host, parts.name)
    if seen is not None:
        _require_ours(host, seen, parts, claim)
        _repair(host, seen, parts)
        return False
    if parts.bridge is not None:
        require_bridge(host, parts.called, parts.bridge)
    try:
        network = host.handle().networkDefineXML(network_xml(parts))
    except libvirt.libvirtError:
        seen = find(host, parts.name)  # Somebody may have been faster; then the error says who.
        if seen is None:
            raise
        _require_ours(host, seen, parts, claim)
        raise
    reach("libvirt.network.defined")
    try:
        _start(network, parts)
    except BaseException:
        remove(network)
        raise
    return True


def _start(network: libvirt.virNetwork, parts: NetworkConfig) -> None:
    if parts.started:
        network.create()
        reach("libvirt.network.started")
        network.setAutostart(1)


def _require_ours(host: Host, seen: ObservedNetwork, parts: NetworkConfig, claim: str) -> None:
    if seen.owner is not None and seen.owner.is_for(parts.mark):
        return
    raise conflict(host, claim, str(seen.owner) if seen.owner else f"the libvirt network {seen.name}")


def conflict(host: Host, claim: str, holder: str) -> SiteConflictError:
    """The error of whoever comes second."""
    return SiteConflictError("Somebody else holds what the plan wanted", f"{claim} at site {host.site.name} is held by {holder}.")


def require_bridge(host: Host, called: str, bridge: str) -> None:
    """Name the missing bridge now rather than when the first guest fails to start; a host that cannot tell is believed."""
    try:
        host.handle().interfaceLookupByName(bridge)
    except libvirt.libvirtError as error:
        if code_of(error) == libvirt.VIR_ERR_NO_INTERFACE:
            raise SiteError(
                "The bridge does not exist",
                f"Network {called} of site {host.site.name} shall stand on bridge {bridge}. {missing_bridge(bridge)}",
            ) from error


def _repair(host: Host, seen: ObservedNetwork, parts: NetworkConfig) -> None:
    """Bring a network of ours to what ``parts`` says. It is restarted only when no guest is plugged in, who would be cut off."""
    if not _as_wanted(seen.root, parts):
        if parts.bridge is not None:
            require_bridge(host, parts.called, parts.bridge)
        kept = NetworkConfig(
            name=parts.name,
            uuid=seen.handle.UUIDString(),
            mark=parts.mark,
            called=parts.called,
            bridge=parts.bridge,
            mtu=parts.mtu,
        )
        host.handle().networkDefineXML(network_xml(kept))
        if seen.active and not _plugged(seen.handle):
            seen.handle.destroy()
            seen.handle.create()
    if parts.started and not seen.active:
        _start(seen.handle, parts)


def _as_wanted(root: Element, parts: NetworkConfig) -> bool:
    forward, bridge = root.find("forward"), root.find("bridge")
    stands_on = bridge.get("name") if forward is not None and bridge is not None else None
    # A bridge's MTU is the host's business.
    return stands_on == parts.bridge and (parts.bridge is not None or mtu_of(root) == parts.mtu)


def _plugged(network: libvirt.virNetwork) -> bool:
    try:
        return bool(network.listAllPorts(0))
    except libvirt.libvirtError as error:
        if code_of(error) == libvirt.VIR_ERR_NO_SUPPORT:
            return False
        raise


def remove(network: libvirt.virNetwork) -> None:
    """Stop and undefine the network; it may be gone or stopped already."""
    with absent_is_fine(libvirt.VIR_ERR_NO_NETWORK, libvirt.VIR_ERR_OPERATION_INVALID):
        if network.isActive():
            network.destroy()
    reach("libvirt.network.stopped")
    with absent_is_fine(libvirt.VIR_ERR_NO_NETWORK):
        network.undefine()
