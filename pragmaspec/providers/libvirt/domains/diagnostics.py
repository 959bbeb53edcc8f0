"""What a site can show of a node: its power state in words, its console's last lines, its lease."""

from contextlib import suppress

import libvirt

from pragmaspec.errors import SiteError
from pragmaspec.providers.base import Diagnostics
from pragmaspec.providers.libvirt import names, volumes
from pragmaspec.providers.libvirt.domains import lookup as domains
from pragmaspec.providers.libvirt.domains.power_states import state_words
from pragmaspec.providers.libvirt.host import Host
from pragmaspec.providers.libvirt.networks import networks
from pragmaspec.providers.libvirt.networks import public_addresses as addresses
from pragmaspec.resources import Mark, Node

CONSOLE_LINES = 40
CONSOLE_BYTES = 2**20


def evidence(host: Host, node: Node, mark: Mark) -> Diagnostics:
    """What can be shown; each part that cannot be had is empty."""
    domain, console, lease = "", b"", ""
    with suppress(SiteError, libvirt.libvirtError):
        domain = _power(host, node, mark)
    with suppress(SiteError, libvirt.libvirtError):
        console = console_log(host, node, mark)
    with suppress(SiteError, libvirt.libvirtError):
        lease = _lease(host, node)
    return Diagnostics(domain=domain, console=last_lines(console), lease=lease)


def console_log(host: Host, node: Node, mark: Mark) -> bytes:
    """What the console printed since the node was booted, at most the last CONSOLE_BYTES."""
    return volumes.tail(host, names.console_volume(node.name, mark), CONSOLE_BYTES)


def last_lines(console: bytes) -> tuple[str, ...]:
    """The last lines of a console that are not empty; bytes that are no text become replacement characters. Pure."""
    lines = (line.rstrip() for line in console.decode("utf-8", "replace").replace("\r", "\n").split("\n"))
    return tuple(line for line in lines if line)[-CONSOLE_LINES:]


def _power(host: Host, node: Node, mark: Mark) -> str:
    domain = domains.find_ours(host, node, mark)
    if domain is None:
        return "not defined"
    state, reason = domain.handle.state()
    return state_words(int(state), int(reason))


def _lease(host: Host, node: Node) -> str:
    """What DHCP servers of the site gave to the node. Ours have fixed addresses: a lease is a sign of trouble."""
    macs = {nic.mac.lower() for nic in node.nics}
    for seen in networks.listed(host):
        for lease in addresses.raw_leases(seen):
            if str(lease["mac"]).lower() in macs:
                return f"{lease['ipaddr']} to {lease['mac']} on network {seen.name}"
    return ""
