"""The terminal of this process, attached to the serial console of a node until Ctrl-] is typed."""

import os
import select
import sys
import termios
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Event

from pragmaspec.errors import AccessError

ESCAPE = b"\x1d"
"""Ctrl-], as in telnet and virsh."""
_READ_BYTES = 4096
_WAIT_S = 0.1


def require_terminal() -> tuple[int, int]:
    """Return the descriptors for keys and output. Raises AccessError if they are no terminal."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise AccessError(
            "A console needs a terminal",
            "Standard input or output is not a terminal. To read the output of the console, use its log instead.",
        )
    return sys.stdin.fileno(), sys.stdout.fileno()


def type_into(send: Callable[[bytes], int], source: int, closed: Event) -> None:
    """Send what is typed at ``source`` until ESCAPE is read, ``source`` ends or ``closed`` is set.

    ``send`` returns the number of bytes that it has taken; 0: none for now.
    """
    while not closed.is_set():
        if not select.select([source], [], [], _WAIT_S)[0]:
            continue
        typed = os.read(source, _READ_BYTES)
        before, escape, _ = typed.partition(ESCAPE)
        while before and not closed.is_set():
            sent = send(before)
            before = before[sent:]
            if not sent:
                closed.wait(_WAIT_S)
        if escape or not typed:
            return


def show(target: int, output: bytes) -> None:
    """Write all of ``output`` to ``target``, which may be closed meanwhile."""
    with suppress(OSError):
        while output:
            output = output[os.write(target, output) :]


@contextmanager
def raw(source: int) -> Iterator[None]:
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
