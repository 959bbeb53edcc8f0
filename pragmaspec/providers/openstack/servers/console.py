"""The serial console of servers: its log, a terminal's connection, and the facts for a node that does not become ready."""

from contextlib import suppress
from threading import Event, Thread

from pragmaspec.errors import AccessError, PragmaspecError
from pragmaspec.providers.base import Diagnostics
from pragmaspec.providers.openstack.call_error import CallError
from pragmaspec.providers.openstack.cloud import Cloud
from pragmaspec.providers.openstack.errors import translated
from pragmaspec.providers.openstack.objects import Answer, Server
from pragmaspec.providers.openstack.observe import power_of
from pragmaspec.providers.openstack.servers.lifecycle import Servers
from pragmaspec.providers.terminal import raw, require_terminal, show, type_into
from pragmaspec.resources import Mark, Node

LOG_LIMIT_BYTES = 2**20
_LINES = 20
_NOT_YET = frozenset({404, 409})
"""Of a server that has no host, and so no console."""
_NO_CONSOLE = frozenset({400, 409, 501})


class _RemoteConsole(Answer, frozen=True):
    url: str


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


def console(cloud: Cloud, server: Server | None, node: Node) -> None:
    """Attach the terminal to the server's console. Raises AccessError without a terminal, a running server or such consoles."""
    source, target = require_terminal()
    if server is None or power_of(server)[0] != "running":
        raise AccessError("The node is not running", f"{node.name} has no console while it is off. Boot its cluster first.")
    attach(cloud, server, node, source, target)


def attach(cloud: Cloud, server: Server, node: Node, source: int, target: int) -> None:
    """Copy between the console and two file descriptors until ESCAPE is read, ``source`` ends or the console closes.

    The site gives the address of a WebSocket with a token, which is valid for some minutes and for one console.
    """
    from websockets.exceptions import ConnectionClosed, WebSocketException  # noqa: PLC0415 - for this command only
    from websockets.sync.client import connect  # noqa: PLC0415
    from websockets.typing import Subprotocol  # noqa: PLC0415

    address = _address(cloud, server, node)
    tls = cloud.client.tls_context() if address.startswith("wss:") else None
    closed = Event()
    try:
        with connect(address, ssl=tls, subprotocols=[Subprotocol("binary")], compression=None, max_size=None) as socket:

            def receive() -> None:
                with suppress(ConnectionClosed):
                    for message in socket:
                        show(target, message if isinstance(message, bytes) else message.encode())
                closed.set()

            def send(typed: bytes) -> int:
                try:
                    socket.send(typed)
                except ConnectionClosed:
                    closed.set()
                return len(typed)

            receiver = Thread(target=receive)
            receiver.start()
            try:
                with raw(source):
                    type_into(send, source, closed)
            finally:
                socket.close()
                receiver.join()
    except (OSError, WebSocketException) as error:
        raise AccessError(
            "The console cannot be reached", f"{cloud.title} does not connect with the console of {node.name}: {error}."
        ) from error


def _address(cloud: Cloud, server: Server, node: Node) -> str:
    """Return the address of the console, which is a secret."""
    body = {"remote_console": {"protocol": "serial", "type": "serial"}}
    try:
        return cloud.client.send(
            "compute", "POST", f"/servers/{server.id}/remote-consoles", body, "remote_console", _RemoteConsole
        ).url
    except CallError as error:
        if error.status not in _NO_CONSOLE:
            raise
        raise AccessError(
            "No console at a terminal",
            f"{cloud.title} gives no serial console of {node.name}: {error.message.strip().rstrip('.')}. `openstack console url "
            f"show {node.name}` gives one for a browser, and `pragmaspec console {node.name} --log` shows the output.",
        ) from error
