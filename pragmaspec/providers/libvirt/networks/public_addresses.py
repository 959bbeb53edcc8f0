"""Public addresses on a libvirt network with DHCP, claimed by an ``ip-dhcp-host`` entry, which libvirt adds atomically.

The claim is added to the network's definition, which takes a millisecond. Updating the running DHCP server, so that it does not
lease the address, makes libvirt rewrite all firewall rules, half a second: that happens when the node boots.
"""

import time
from collections.abc import Callable, Iterator
from typing import Any
from xml.etree.ElementTree import Element

import libvirt

from pragmaspec.errors import SiteError
from pragmaspec.providers.libvirt import names
from pragmaspec.providers.libvirt.errors import ignoring
from pragmaspec.providers.libvirt.host import Host
from pragmaspec.providers.libvirt.networks.networks import ObservedNetwork, conflict_error, find_network
from pragmaspec.providers.libvirt.networks.xml import dhcp_host_xml
from pragmaspec.resources import Mark, PublicGrant

_ADD = libvirt.VIR_NETWORK_UPDATE_COMMAND_ADD_LAST
_DELETE = libvirt.VIR_NETWORK_UPDATE_COMMAND_DELETE
_LIVE = libvirt.VIR_NETWORK_UPDATE_AFFECT_LIVE
_CONFIG = libvirt.VIR_NETWORK_UPDATE_AFFECT_CONFIG
_ENTRY = "ip/dhcp/host"


def dhcp_network(host: Host, grant: PublicGrant) -> ObservedNetwork | None:
    """The libvirt network of the grant if it has a DHCP server, else None."""
    network = public_network(host, grant)
    return network if network is not None and network.root.find("ip/dhcp") is not None else None


def public_network(host: Host, grant: PublicGrant) -> ObservedNetwork | None:
    """The libvirt network of the grant; None for a bridge. Raises SiteError when it does not exist."""
    if grant.network is None:
        return None
    network = find_network(host, grant.network)
    if network is None:
        raise SiteError(
            "The public network does not exist",
            f"Site {host.site.name} ({host.site.uri}) has no libvirt network {grant.network}. Correct the "
            "site's `public: network:`, or create the network there.",
        )
    return network


def dhcp_entries(network: ObservedNetwork) -> Iterator[Element]:
    """The static entries of a network's DHCP server, active and for its next start."""
    running = list(network.root.iterfind(_ENTRY))
    yield from running
    known = {_key(entry) for entry in running}
    yield from (entry for entry in network.defined.iterfind(_ENTRY) if _key(entry) not in known)


def _key(entry: Element) -> tuple[str, str]:
    return entry.get("name", ""), entry.get("ip", "")


def active_leases(network: ObservedNetwork) -> list[dict[str, Any]]:
    """The unexpired leases of the network's DHCP server, as libvirt reports them: ipaddr, mac, hostname, ..."""
    if not network.active or network.root.find("ip/dhcp") is None:
        return []
    found: list[dict[str, Any]] = []
    with ignoring(libvirt.VIR_ERR_NO_SUPPORT, libvirt.VIR_ERR_NO_NETWORK, libvirt.VIR_ERR_OPERATION_INVALID):
        found = network.handle.DHCPLeases(None, 0) or []
    now = time.time()
    return [lease for lease in found if not lease["expirytime"] or lease["expirytime"] > now]


def leases(network: ObservedNetwork) -> dict[str, str]:
    """The addresses leased by the network's DHCP server, with the host name or MAC of the holder."""
    return {str(lease["ipaddr"]): str(lease["hostname"] or lease["mac"]) for lease in active_leases(network)}


def claim_address(host: Host, network: ObservedNetwork, grant: PublicGrant, mark: Mark) -> list[Callable[[], None]]:
    """Claim the grant's address. Return the steps that undo it. Raises SiteConflictError naming the holder."""
    name = names.domain_name(grant.node, mark)
    if (name, grant.address) in map(_key, dhcp_entries(network)):
        return []
    _require_free(host, network, grant, name)
    # libvirt stores one address per name: the node's old address is removed first.
    old = [entry.get("ip", "") for entry in dhcp_entries(network) if entry.get("name") == name]
    undo = [step for address in old for step in _remove_entry(network, name, address)]
    try:
        undo.append(_change(network, _ADD, name, grant.address, _claim_flags(network)))
    except libvirt.libvirtError:
        for step in reversed(undo):
            step()
        current = find_network(host, network.name)
        if current is not None:
            _require_free(host, current, grant, name)  # A concurrent claim was first: the error names its owner.
        raise
    return undo


def reserve_address(host: Host, grant: PublicGrant, mark: Mark) -> None:
    """Add a claim to the running DHCP server. Raises SiteConflictError when it has just leased the address."""
    network = dhcp_network(host, grant)
    if network is None or not network.active:
        return
    name = _claimant(network, grant, mark)
    if (name, grant.address) in map(_key, network.root.iterfind(_ENTRY)):
        return
    _change(network, _ADD, name, grant.address, _LIVE)
    _require_unleased(host, network, grant)


def _claimant(network: ObservedNetwork, grant: PublicGrant, mark: Mark) -> str:
    """The name in this stack's claim of the address: that of the node, or an earlier one."""
    claimants = (entry.get("name", "") for entry in network.defined.iterfind(_ENTRY) if entry.get("ip") == grant.address)
    own = (name for name in claimants if (names.parse_domain(name) or names.NO_NODE).short == mark.short)
    return next(own, names.domain_name(grant.node, mark))


def _require_free(host: Host, network: ObservedNetwork, grant: PublicGrant, name: str) -> None:
    claim = f"Public address {grant.address}"
    for entry in dhcp_entries(network):
        if entry.get("ip") == grant.address and entry.get("name") != name:
            raise conflict_error(host, claim, entry_holder(entry))
    _require_unleased(host, network, grant)


def _require_unleased(host: Host, network: ObservedNetwork, grant: PublicGrant) -> None:
    leased = leases(network).get(grant.address)
    if leased is not None:
        raise conflict_error(host, f"Public address {grant.address}", f"{leased}, by a DHCP lease of network {network.name}")


def release_addresses(network: ObservedNetwork, cluster: str, mark: Mark, keep: set[str]) -> None:
    """Remove this stack's entries for nodes of ``cluster``, except for the addresses in ``keep``."""
    for entry in list(dhcp_entries(network)):
        parsed = names.parse_domain(entry.get("name", ""))
        if parsed is None or parsed.short != mark.short or parsed.cluster != cluster or entry.get("ip") in keep:
            continue
        with ignoring(libvirt.VIR_ERR_OPERATION_INVALID, libvirt.VIR_ERR_NO_NETWORK):
            _remove_entry(network, *_key(entry))


def entry_holder(entry: Element) -> str:
    """The human-readable holder of a static entry."""
    parsed = names.parse_domain(entry.get("name", ""))
    if parsed is not None:
        return f"{parsed.node} of stack {parsed.short}"
    return entry.get("name") or entry.get("mac") or "a static DHCP entry"


def _claim_flags(network: ObservedNetwork) -> int:
    """Flags that add a claim to the definition only, if it is separate from the active one."""
    return _CONFIG if network.defined is not network.root else _all_flags(network)


def _all_flags(network: ObservedNetwork) -> int:
    return (_CONFIG if network.handle.isPersistent() else 0) | (_LIVE if network.active else 0)


def _remove_entry(network: ObservedNetwork, name: str, address: str) -> list[Callable[[], None]]:
    """Delete an entry from the definition and the running network. Return the steps that undo it."""
    flags = _all_flags(network)
    if network.defined is not network.root:
        roots = {_CONFIG: network.defined, _LIVE: network.root}
        flags = sum(flag for flag, root in roots.items() if (name, address) in map(_key, root.iterfind(_ENTRY)))
    return [_change(network, _DELETE, name, address, flags)] if flags else []


def _change(network: ObservedNetwork, command: int, name: str, address: str, flags: int) -> Callable[[], None]:
    """Add or delete an entry, in the definitions that ``flags`` select. Return the step that undoes it."""
    network.handle.update(command, libvirt.VIR_NETWORK_SECTION_IP_DHCP_HOST, -1, dhcp_host_xml(name, address), flags)
    opposite = _DELETE if command == _ADD else _ADD

    def undo() -> None:
        _change(network, opposite, name, address, flags)

    return undo
