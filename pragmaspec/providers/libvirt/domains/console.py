"""Attachment of this process's terminal to a node's serial console, until Ctrl-]."""

import os
import select
import sys
import termios
import threading
import tty
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import libvirt

from pragmaspec.errors import AccessError
from pragmaspec.providers.libvirt.connection import event_loop
from pragmaspec.providers.libvirt.domains.lookup import find_own
from pragmaspec.providers.libvirt.host import Host
from pragmaspec.resources import Mark, Node

ESCAPE = b"\x1d"
"""Ctrl-], as in telnet and virsh."""
READ_BYTES = 4096
WAIT_S = 0.1
_WOULD_BLOCK = -2


def console(host: Host, node: Node, mark: Mark) -> None:
    """Attach the terminal to the node's console. Raises AccessError without a terminal or a running node."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise AccessError(
            "A console needs a terminal",
            "Standard input or output is not a terminal. To read the output of the console, use its log instead.",
        )
    domain = find_own(host, node, mark)
    if domain is None or not domain.running:
        raise AccessError("The node is not running", f"{node.name} has no console while it is off. Boot its cluster first.")
    attach(host, domain.handle, sys.stdin.fileno(), sys.stdout.fileno())


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
        with _raw(source):
            _copy_in(stream, source, closed)
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
        return
    with suppress(OSError):
        while received:
            received = received[os.write(target, received) :]


def _copy_in(stream: libvirt.virStream, source: int, closed: threading.Event) -> None:
    while not closed.is_set():
        if not select.select([source], [], [], WAIT_S)[0]:
            continue
        typed = os.read(source, READ_BYTES)
        before, escape, _ = typed.partition(ESCAPE)
        while before and not closed.is_set():
            sent = stream.send(before)
            if sent == _WOULD_BLOCK:
                closed.wait(WAIT_S)
            else:
                before = before[sent:]
        if escape or not typed:
            return


@contextmanager
def _raw(source: int) -> Iterator[None]:
    """Put the terminal ``source`` into raw mode for the block; no effect if it is not a terminal."""
    if not os.isatty(source):
        yield
        return
    before = termios.tcgetattr(source)
    try:
        tty.setraw(source)
        yield
    finally:
        termios.tcsetattr(source, termios.TCSADRAIN, before)
