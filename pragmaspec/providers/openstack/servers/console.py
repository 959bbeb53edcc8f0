"""The serial console of servers: its log, and the facts for a node that does not become ready."""

from pragmaspec.errors import AccessError, PragmaspecError
from pragmaspec.providers.base import Diagnostics
from pragmaspec.providers.openstack.call_error import CallError
from pragmaspec.providers.openstack.cloud import Cloud
from pragmaspec.providers.openstack.errors import translated
from pragmaspec.providers.openstack.objects import Server
from pragmaspec.providers.openstack.observe import power_of
from pragmaspec.providers.openstack.servers.lifecycle import Servers
from pragmaspec.resources import Mark, Node

LOG_LIMIT_BYTES = 2**20
_LINES = 20
_NOT_YET = frozenset({404, 409})
"""Of a server that has no host, and so no console."""


def console_log(cloud: Cloud, server: Server | None) -> bytes:
    """Return the last MiB of the output; empty: there is none."""
    if server is None:
        return b""
    action: dict[str, object] = {"os-getConsoleOutput": {}}
    try:
        text = cloud.client.send("compute", "POST", f"/servers/{server.id}/action", action, "output", str)
    except CallError as error:
        if error.status in _NOT_YET:
            return b""
        raise
    return text.encode()[-LOG_LIMIT_BYTES:]


def diagnostics(cloud: Cloud, servers: Servers, mark: Mark) -> Diagnostics:
    """Return the facts about a node; empty fields for what cannot be found out."""
    try:
        with translated("look at a server"):
            server = servers.find(mark)
    except PragmaspecError:
        return Diagnostics()
    if server is None:
        return Diagnostics(domain="absent")
    status, why = power_of(server)
    domain = f"{status}{f', {why}' if why else ''}; the cloud reports {server.status}"
    try:
        with translated("read a console"):
            lines = console_log(cloud, server).decode("utf-8", "replace").splitlines()
    except PragmaspecError:
        return Diagnostics(domain=domain)
    return Diagnostics(domain=domain, console=tuple(lines[-_LINES:]))


def refuse_console(cloud: Cloud, node: Node) -> None:
    """Raise AccessError: clouds offer consoles to browsers."""
    raise AccessError(
        "No console at a terminal",
        f"{cloud.title} gives consoles to browsers only: `openstack console url show {node.name}`. "
        f"`pragmaspec console {node.name} --log` shows the output.",
    )
