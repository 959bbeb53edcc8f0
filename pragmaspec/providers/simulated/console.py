"""The serial console of a pretended machine at a real terminal: prints what it said, echoes nothing, ends with Ctrl-]."""

import os
import sys
import termios
import tty

from pragmaspec.errors import AccessError

_LEAVE = b"\x1d"
"""Ctrl-], as in telnet and virsh console."""


def join_terminal(name: str, said: bytes) -> None:
    """Show what the console of ``name`` has ``said`` and stay until Ctrl-]. Raises AccessError without a terminal."""
    if not sys.stdin.isatty():
        raise AccessError("A console needs a terminal", f"Standard input is none, so the console of {name} cannot be joined.")
    terminal = sys.stdin.fileno()
    before = termios.tcgetattr(terminal)
    try:
        tty.setraw(terminal)
        os.write(terminal, said.replace(b"\n", b"\r\n"))
        while (key := os.read(terminal, 1)) not in (_LEAVE, b""):
            os.write(terminal, b"\a" if key != b"\r" else b"\r\n")
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)
