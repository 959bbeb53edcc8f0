"""Diagnostics of a node: its power state, the last lines of its console, its DHCP lease."""

from contextlib import suppress

import libvirt

from pragmaspec.errors import SiteError
from pragmaspec.providers.base import Diagnostics
from pragmaspec.providers.libvirt import names, volumes
from pragmaspec.providers.libvirt.domains.lookup import find_own
from pragmaspec.providers.libvirt.domains.power_states import describe_state
from pragmaspec.providers.libvirt.host import Host
from pragmaspec.providers.libvirt.networks.networks import list_networks
from pragmaspec.providers.libvirt.networks.public_addresses import active_leases
from pragmaspec.resources import Mark, Node

CONSOLE_LINES = 40
CONSOLE_BYTES = 2**20


def collect_diagnostics(host: Host, node: Node, mark: Mark) -> Diagnostics:
    """Collect the diagnostics; a part that cannot be obtained is empty."""
    domain, console, lease = "", b"", ""
    with suppress(SiteError, libvirt.libvirtError):
        domain = _power(host, node, mark)
    with suppress(SiteError, libvirt.libvirtError):
        console = console_log(host, node, mark)
    with suppress(SiteError, libvirt.libvirtError):
        lease = _lease(host, node)
    return Diagnostics(domain=domain, console=last_lines(console), lease=lease)


def console_log(host: Host, node: Node, mark: Mark) -> bytes:
    """The output of the console since the node was booted, at most the last CONSOLE_BYTES."""
    return volumes.read_tail(host, names.console_volume(node.name, mark), CONSOLE_BYTES)


def last_lines(console: bytes) -> tuple[str, ...]:
    """The last non-empty lines of a console's output; invalid UTF-8 becomes replacement characters. Pure."""
    lines = (line.rstrip() for line in console.decode("utf-8", "replace").replace("\r", "\n").split("\n"))
    return tuple(line for line in lines if line)[-CONSOLE_LINES:]


def _power(host: Host, node: Node, mark: Mark) -> str:
    domain = find_own(host, node, mark)
    if domain is None:
        return "not defined"
    state, reason = domain.handle.state()
    return describe_state(int(state), int(reason))


def _lease(host: Host, node: Node) -> str:
    """A DHCP lease of the node. Nodes have static addresses: a lease is a sign of a misconfigured guest."""
    macs = {nic.mac.lower() for nic in node.nics}
    for network in list_networks(host):
        for lease in active_leases(network):
            if str(lease["mac"]).lower() in macs:
                return f"{lease['ipaddr']} to {lease['mac']} on network {network.name}"
    return ""
