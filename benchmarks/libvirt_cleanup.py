"""Removal of all benchmark objects at qemu:///system: machines, networks, reserved addresses, pools with their directories."""

import shutil
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from xml.etree import ElementTree as ET

import libvirt
from scratch import NAME

URI = "qemu:///system"
POOLS = Path("/var/lib/libvirt")
_GONE = {
    libvirt.VIR_ERR_NO_DOMAIN,
    libvirt.VIR_ERR_NO_NETWORK,
    libvirt.VIR_ERR_NO_STORAGE_POOL,
    libvirt.VIR_ERR_OPERATION_INVALID,  # it is no longer running
}
_UNDEFINE = (
    libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA | libvirt.VIR_DOMAIN_UNDEFINE_NVRAM
)
_DELETE = (libvirt.VIR_NETWORK_UPDATE_COMMAND_DELETE, libvirt.VIR_NETWORK_SECTION_IP_DHCP_HOST, -1)
_LISTINGS = 5


def clear_libvirt() -> None:
    """Remove all objects. Repeats the listing, because objects of a killed client may appear after its end."""
    libvirt.registerErrorHandler(lambda _context, _error: None, None)
    try:
        connection = libvirt.open(URI)
    except libvirt.libvirtError as error:
        sys.exit(f"libvirt does not respond: {error}")
    with closing(connection):
        for _ in range(_LISTINGS):
            if not _clear(connection):
                break
    for folder in POOLS.glob(f"{NAME}*"):
        shutil.rmtree(folder)


def _clear(connection: libvirt.virConnect) -> int:
    """Remove the objects of one listing, and return their number."""
    domains = [each for each in connection.listAllDomains() if each.name().startswith(NAME)]
    everywhere = connection.listAllNetworks()
    # Networks of clusters are named by the site, and their metadata contains their address.
    networks = [each for each in everywhere if each.name().startswith(NAME) or f"/{NAME}" in each.XMLDesc()]
    pools = [each for each in connection.listAllStoragePools() if each.name().startswith(NAME)]
    for domain in domains:
        _remove(domain, lambda domain=domain: domain.undefineFlags(_UNDEFINE))
    for each in (*networks, *pools):
        _remove(each, each.undefine)
    return len(domains) + len(networks) + len(pools) + sum(_addresses(each) for each in everywhere if each not in networks)


def _remove(target: "libvirt.virDomain | libvirt.virNetwork | libvirt.virStoragePool", undefine: Callable[[], object]) -> None:
    """Stop and undefine ``target``, transient or persistent; it may disappear meanwhile."""
    try:
        persistent = target.isPersistent()
        if target.isActive():
            target.destroy()
        if persistent:
            undefine()
    except libvirt.libvirtError as error:
        if error.get_error_code() not in _GONE:
            raise


def _addresses(network: libvirt.virNetwork) -> int:
    """Remove the reserved addresses from the running and the persistent definition of a network, and return their number."""
    removed = 0
    for exists, xml_flags, flag in (
        (network.isActive(), 0, libvirt.VIR_NETWORK_UPDATE_AFFECT_LIVE),
        (network.isPersistent(), libvirt.VIR_NETWORK_XML_INACTIVE, libvirt.VIR_NETWORK_UPDATE_AFFECT_CONFIG),
    ):
        root = ET.fromstring(network.XMLDesc(xml_flags)) if exists else ET.Element("none")  # noqa: S314 - trusted: written by libvirt
        for entry in root.iterfind("ip/dhcp/host"):
            if entry.get("name", "").startswith(NAME):
                network.update(*_DELETE, ET.tostring(entry, encoding="unicode").strip(), flag)
                removed += 1
    return removed
