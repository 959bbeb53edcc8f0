"""A shell at a serial console, used through two pipes in place of a terminal."""

import os
import select
import time
from collections.abc import Callable
from threading import Thread

from pragmaspec.providers.terminal import ESCAPE

LIMIT_S = 120.0


def use_shell(attach: Callable[[int, int], None]) -> None:
    """Type at the console that ``attach`` connects with a source and a target, read the answer of the shell, and detach."""
    keys_read, keys = os.pipe()
    screen, screen_written = os.pipe()
    thread = Thread(target=attach, args=(keys_read, screen_written))
    thread.start()
    try:
        os.write(keys, b"\n")
        _read_until(screen, b"# ")
        os.write(keys, b"echo $((6 * 7)) answers\n")
        _read_until(screen, b"42 answers")
    finally:
        os.write(keys, ESCAPE)
        thread.join(timeout=10)
        still_attached = thread.is_alive()
        for end in (keys_read, keys, screen, screen_written):
            os.close(end)
    assert not still_attached


def _read_until(screen: int, words: bytes) -> None:
    shown, until = b"", time.monotonic() + LIMIT_S
    while words not in shown:
        readable, _, _ = select.select([screen], [], [], max(0.0, until - time.monotonic()))
        assert readable, f"the console shows {shown[-500:]!r}, not {words!r}, within {LIMIT_S:g} s"
        shown += os.read(screen, 65536)
