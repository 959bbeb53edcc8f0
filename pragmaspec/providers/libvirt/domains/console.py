"""The serial console of a domain, as a stream of libvirt."""

import threading
from contextlib import suppress

import libvirt

from pragmaspec.errors import AccessError
from pragmaspec.providers.libvirt.connection import event_loop
from pragmaspec.providers.libvirt.domains.lookup import find_own
from pragmaspec.providers.libvirt.host import Host
from pragmaspec.providers.terminal import raw, require_terminal, show, type_into
from pragmaspec.resources import Mark, Node

READ_BYTES = 4096
_WOULD_BLOCK = -2


def console(host: Host, node: Node, mark: Mark) -> None:
    """Attach the terminal to the node's console. Raises AccessError without a terminal or a running node."""
    source, target = require_terminal()
    domain = find_own(host, node, mark)
    if domain is None or not domain.running:
        raise AccessError("The node is not running", f"{node.name} has no console while it is off. Boot its cluster first.")
    attach(host, domain.handle, source, target)


def attach(host: Host, domain: libvirt.virDomain, source: int, target: int) -> None:
    """Copy between the console and two file descriptors until ESCAPE is read, ``source`` ends or the console closes."""
    event_loop()
    stream = host.handle().newStream(libvirt.VIR_STREAM_NONBLOCK)
    domain.openConsole(None, stream, 0)
    closed = threading.Event()

    def received(stream: libvirt.virStream, events: int, _opaque: object) -> None:
        if events & libvirt.VIR_STREAM_EVENT_READABLE:
            _copy_out(stream, target, closed)
        if events & (libvirt.VIR_STREAM_EVENT_ERROR | libvirt.VIR_STREAM_EVENT_HANGUP):
            closed.set()

    readable = libvirt.VIR_STREAM_EVENT_READABLE
    stream.eventAddCallback(readable | libvirt.VIR_STREAM_EVENT_ERROR | libvirt.VIR_STREAM_EVENT_HANGUP, received, None)
    try:
        with raw(source):
            type_into(lambda data: _sent(stream, data), source, closed)
    finally:
        with suppress(libvirt.libvirtError):
            stream.eventRemoveCallback()
        with suppress(libvirt.libvirtError):
            stream.abort()


def _copy_out(stream: libvirt.virStream, target: int, closed: threading.Event) -> None:
    try:
        received = stream.recv(READ_BYTES)
    except libvirt.libvirtError:
        closed.set()
        return
    if received == _WOULD_BLOCK:
        return
    if not received:
        closed.set()
    else:
        show(target, received)


def _sent(stream: libvirt.virStream, data: bytes) -> int:
    sent: int = stream.send(data)
    return 0 if sent == _WOULD_BLOCK else sent
