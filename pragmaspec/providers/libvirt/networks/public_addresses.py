"""Public addresses on a libvirt network that serves DHCP: claimed by an ``ip-dhcp-host`` entry, atomic in libvirt itself.

The claim stands in the network's definition, which takes a millisecond. Telling the running DHCP server, so that it gives the
address to nobody else, makes libvirt write all firewall rules anew, half a second: that is done once the node's guest boots.
"""

import time
from collections.abc import Callable, Iterator
from typing import Any
from xml.etree.ElementTree import Element

import libvirt

from pragmaspec.errors import SiteError
from pragmaspec.providers.libvirt import names
from pragmaspec.providers.libvirt.errors import absent_is_fine
from pragmaspec.providers.libvirt.host import Host
from pragmaspec.providers.libvirt.networks import networks
from pragmaspec.providers.libvirt.networks.networks import ObservedNetwork
from pragmaspec.providers.libvirt.networks.xml import dhcp_host_xml
from pragmaspec.resources import Mark, PublicGrant

_ADD = libvirt.VIR_NETWORK_UPDATE_COMMAND_ADD_LAST
_DELETE = libvirt.VIR_NETWORK_UPDATE_COMMAND_DELETE
_LIVE = libvirt.VIR_NETWORK_UPDATE_AFFECT_LIVE
_CONFIG = libvirt.VIR_NETWORK_UPDATE_AFFECT_CONFIG
_ENTRY = "ip/dhcp/host"


def serving(host: Host, grant: PublicGrant) -> ObservedNetwork | None:
    """The libvirt network that serves the grant by DHCP; None when no DHCP server keeps a list of its addresses."""
    seen = public_network(host, grant)
    return seen if seen is not None and seen.root.find("ip/dhcp") is not None else None


def public_network(host: Host, grant: PublicGrant) -> ObservedNetwork | None:
    """The libvirt network that the grant is on; None: it is on a bridge. Raises SiteError when it does not exist."""
    if grant.network is None:
        return None
    seen = networks.find(host, grant.network)
    if seen is None:
        raise SiteError(
            "The public network does not exist",
            f"Site {host.site.name} ({host.site.uri}) has no libvirt network called {grant.network}. Correct the "
            "site's `public: network:`, or make the network there.",
        )
    return seen


def entries(seen: ObservedNetwork) -> Iterator[Element]:
    """The static entries of a network's DHCP server: those it runs with, and those it will run with."""
    running = list(seen.root.iterfind(_ENTRY))
    yield from running
    known = {_said(entry) for entry in running}
    yield from (entry for entry in seen.defined.iterfind(_ENTRY) if _said(entry) not in known)


def _said(entry: Element) -> tuple[str, str]:
    return entry.get("name", ""), entry.get("ip", "")


def raw_leases(seen: ObservedNetwork) -> list[dict[str, Any]]:
    """The leases of the network's DHCP server that are still good, as libvirt tells them: ipaddr, mac, hostname, ..."""
    if not seen.active or seen.root.find("ip/dhcp") is None:
        return []
    found: list[dict[str, Any]] = []
    with absent_is_fine(libvirt.VIR_ERR_NO_SUPPORT, libvirt.VIR_ERR_NO_NETWORK, libvirt.VIR_ERR_OPERATION_INVALID):
        found = seen.handle.DHCPLeases(None, 0) or []
    now = time.time()
    return [lease for lease in found if not lease["expirytime"] or lease["expirytime"] > now]


def leases(seen: ObservedNetwork) -> dict[str, str]:
    """Addresses that the network's DHCP server has given out, with the name or MAC of the holder."""
    return {str(lease["ipaddr"]): str(lease["hostname"] or lease["mac"]) for lease in raw_leases(seen)}


def claim(host: Host, seen: ObservedNetwork, grant: PublicGrant, mark: Mark) -> list[Callable[[], None]]:
    """Claim the grant's address; what undoes it. Raises SiteConflictError naming the holder."""
    name = names.domain_name(grant.node, mark)
    if (name, grant.address) in map(_said, entries(seen)):
        return []
    _require_free(host, seen, grant, name)
    # libvirt keeps one address a name: a node that gets another one gives the old one back first.
    moved = [entry.get("ip", "") for entry in entries(seen) if entry.get("name") == name]
    undo = [step for address in moved for step in _removed(seen, name, address)]
    try:
        undo.append(_change(seen, _ADD, name, grant.address, _claimed_in(seen)))
    except libvirt.libvirtError:
        for step in reversed(undo):
            step()
        again = networks.find(host, seen.name)
        if again is not None:
            _require_free(host, again, grant, name)  # Somebody was faster: the error says who.
        raise
    return undo


def reserve(host: Host, grant: PublicGrant, mark: Mark) -> None:
    """Tell the running DHCP server of a claim. Raises SiteConflictError when it gave the address away just before."""
    seen = serving(host, grant)
    if seen is None or not seen.active:
        return
    name = _claimant(seen, grant, mark)
    if (name, grant.address) in map(_said, seen.root.iterfind(_ENTRY)):
        return
    _change(seen, _ADD, name, grant.address, _LIVE)
    _require_unleased(host, seen, grant)


def _claimant(seen: ObservedNetwork, grant: PublicGrant, mark: Mark) -> str:
    """The name that this stack's claim of the address stands under: that of the node, or one that it had earlier."""
    claimed = (entry.get("name", "") for entry in seen.defined.iterfind(_ENTRY) if entry.get("ip") == grant.address)
    ours = (name for name in claimed if (names.parsed_domain(name) or ("", ""))[1] == mark.short)
    return next(ours, names.domain_name(grant.node, mark))


def _require_free(host: Host, seen: ObservedNetwork, grant: PublicGrant, name: str) -> None:
    words = f"Public address {grant.address}"
    for entry in entries(seen):
        if entry.get("ip") == grant.address and entry.get("name") != name:
            raise networks.conflict(host, words, holder_of(entry))
    _require_unleased(host, seen, grant)


def _require_unleased(host: Host, seen: ObservedNetwork, grant: PublicGrant) -> None:
    leased = leases(seen).get(grant.address)
    if leased is not None:
        raise networks.conflict(host, f"Public address {grant.address}", f"{leased}, by a DHCP lease of network {seen.name}")


def release(seen: ObservedNetwork, cluster: str, mark: Mark, keep: set[str]) -> None:
    """Drop this stack's entries for nodes of ``cluster``, except for the addresses in ``keep``."""
    for entry in list(entries(seen)):
        parsed = names.parsed_domain(entry.get("name", ""))
        if parsed is None or parsed[1] != mark.short or names.cluster_of(parsed[0]) != cluster or entry.get("ip") in keep:
            continue
        with absent_is_fine(libvirt.VIR_ERR_OPERATION_INVALID, libvirt.VIR_ERR_NO_NETWORK):
            _removed(seen, *_said(entry))


def holder_of(entry: Element) -> str:
    """Who a static entry is for, in words."""
    parsed = names.parsed_domain(entry.get("name", ""))
    if parsed is not None:
        return f"{parsed[0]} of stack {parsed[1]}"
    return entry.get("name") or entry.get("mac") or "a static DHCP entry"


def _claimed_in(seen: ObservedNetwork) -> int:
    """Where a claim is made: in the definition alone, if there is one besides what runs."""
    return _CONFIG if seen.defined is not seen.root else _everywhere(seen)


def _everywhere(seen: ObservedNetwork) -> int:
    return (_CONFIG if seen.handle.isPersistent() else 0) | (_LIVE if seen.active else 0)


def _removed(seen: ObservedNetwork, name: str, address: str) -> list[Callable[[], None]]:
    """Delete an entry where it stands, in the definition and in the running network; what undoes it."""
    flags = _everywhere(seen)
    if seen.defined is not seen.root:
        places = {_CONFIG: seen.defined, _LIVE: seen.root}
        flags = sum(flag for flag, root in places.items() if (name, address) in map(_said, root.iterfind(_ENTRY)))
    return [_change(seen, _DELETE, name, address, flags)] if flags else []


def _change(seen: ObservedNetwork, command: int, name: str, address: str, flags: int) -> Callable[[], None]:
    """Add or delete an entry where ``flags`` say; what undoes it."""
    seen.handle.update(command, libvirt.VIR_NETWORK_SECTION_IP_DHCP_HOST, -1, dhcp_host_xml(name, address), flags)
    opposite = _DELETE if command == _ADD else _ADD

    def undo() -> None:
        _change(seen, opposite, name, address, flags)

    return undo
