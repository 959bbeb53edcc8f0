"""Removing what benchmarks have made at qemu:///system: machines, networks, reserved addresses, and pools with their folders."""

import shutil
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from xml.etree import ElementTree as ET

import libvirt
from remains import NAME

URI = "qemu:///system"
POOLS = Path("/var/lib/libvirt")
_GONE = {
    libvirt.VIR_ERR_NO_DOMAIN,
    libvirt.VIR_ERR_NO_NETWORK,
    libvirt.VIR_ERR_NO_STORAGE_POOL,
    libvirt.VIR_ERR_OPERATION_INVALID,  # it does not run any more
}
_UNDEFINE = (
    libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA | libvirt.VIR_DOMAIN_UNDEFINE_NVRAM
)
_DELETE = (libvirt.VIR_NETWORK_UPDATE_COMMAND_DELETE, libvirt.VIR_NETWORK_SECTION_IP_DHCP_HOST, -1)
_LOOKS = 5


def clear_libvirt() -> None:
    """Remove it. What was asked for by a client that has been ended may appear later than the client went: look again."""
    libvirt.registerErrorHandler(lambda _context, _error: None, None)
    try:
        connection = libvirt.open(URI)
    except libvirt.libvirtError as error:
        sys.exit(f"libvirt does not answer: {error}")
    with closing(connection):
        for _ in range(_LOOKS):
            if not _cleared(connection):
                break
    for folder in POOLS.glob(f"{NAME}*"):
        shutil.rmtree(folder)


def _cleared(connection: libvirt.virConnect) -> int:
    """How many things were removed."""
    domains = [each for each in connection.listAllDomains() if each.name().startswith(NAME)]
    everywhere = connection.listAllNetworks()
    # Networks of clusters have names of the site's, and say in their metadata which address they were made for.
    networks = [each for each in everywhere if each.name().startswith(NAME) or f"/{NAME}" in each.XMLDesc()]
    pools = [each for each in connection.listAllStoragePools() if each.name().startswith(NAME)]
    for domain in domains:
        _away(domain, lambda lasting=domain: lasting.undefineFlags(_UNDEFINE))
    for made in (*networks, *pools):
        _away(made, made.undefine)
    return len(domains) + len(networks) + len(pools) + sum(_addresses(each) for each in everywhere if each not in networks)


def _away(made: "libvirt.virDomain | libvirt.virNetwork | libvirt.virStoragePool", undefine: Callable[[], object]) -> None:
    """Stop and undefine it, whether it was defined or only started; it may go by itself meanwhile."""
    try:
        lasting = made.isPersistent()
        if made.isActive():
            made.destroy()
        if lasting:
            undefine()
    except libvirt.libvirtError as error:
        if error.get_error_code() not in _GONE:
            raise


def _addresses(network: libvirt.virNetwork) -> int:
    """Remove the addresses that were reserved in a network of somebody else, as it runs and as it is defined."""
    removed = 0
    for there, shown, flag in (
        (network.isActive(), 0, libvirt.VIR_NETWORK_UPDATE_AFFECT_LIVE),
        (network.isPersistent(), libvirt.VIR_NETWORK_XML_INACTIVE, libvirt.VIR_NETWORK_UPDATE_AFFECT_CONFIG),
    ):
        root = ET.fromstring(network.XMLDesc(shown)) if there else ET.Element("none")  # noqa: S314 - libvirt's own
        for entry in root.iterfind("ip/dhcp/host"):
            if entry.get("name", "").startswith(NAME):
                network.update(*_DELETE, ET.tostring(entry, encoding="unicode").strip(), flag)
                removed += 1
    return removed
