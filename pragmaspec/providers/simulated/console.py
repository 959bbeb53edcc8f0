"""The serial console of a simulated machine at a real terminal: prints its output, echoes nothing, ends with Ctrl-]."""

import os
import sys
import termios
import tty

from pragmaspec.errors import AccessError

_ESCAPE = b"\x1d"
"""Ctrl-], as in telnet and virsh."""


def attach_terminal(name: str, output: bytes) -> None:
    """Print the ``output`` of the console of ``name``, and wait for Ctrl-]. Raises AccessError without a terminal."""
    if not sys.stdin.isatty():
        raise AccessError(
            "A console needs a terminal", f"Standard input is not a terminal: the console of {name} was not attached."
        )
    terminal = sys.stdin.fileno()
    before = termios.tcgetattr(terminal)
    try:
        tty.setraw(terminal)
        os.write(terminal, output.replace(b"\n", b"\r\n"))
        while (key := os.read(terminal, 1)) not in (_ESCAPE, b""):
            os.write(terminal, b"\a" if key != b"\r" else b"\r\n")
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)
