"""A shell at a serial console, used through pipes in place of a terminal, or by a command at a terminal."""

import os
import pty
import select
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from threading import Thread

from pragmaspec.providers.terminal import ESCAPE

LIMIT_S = 120.0
REPEAT_S = 2.0


def use_shell(attach: Callable[[int, int], None]) -> None:
    """Use the console that ``attach`` connects with a source and a target, and detach."""
    keys_read, keys = os.pipe()
    screen, screen_written = os.pipe()
    thread = Thread(target=attach, args=(keys_read, screen_written))
    thread.start()
    try:
        _ask(keys, screen)
    finally:
        os.write(keys, ESCAPE)
        thread.join(timeout=10)
        still_attached = thread.is_alive()
        for end in (keys_read, keys, screen, screen_written):
            os.close(end)
    assert not still_attached


def use_shell_by_command(command: Sequence[str], directory: Path, environment: Mapping[str, str]) -> None:
    """Use the console that ``command`` shows at its terminal, and detach."""
    terminal, its_end = pty.openpty()
    process = subprocess.Popen(command, cwd=directory, env=environment, stdin=its_end, stdout=its_end, stderr=its_end)
    os.close(its_end)
    try:
        _ask(terminal, terminal)
        os.write(terminal, ESCAPE)
        assert process.wait(timeout=30) == 0
    finally:
        process.kill()
        process.wait()
        os.close(terminal)


def _ask(keys: int, screen: int) -> None:
    """Type at the shell, and read its answer."""
    shown, until = b"", time.monotonic() + LIMIT_S
    typed, expected = b"\n", b"# "
    while True:
        os.write(keys, typed)  # again if there is no answer: what is typed before a terminal is attached may be lost
        repeat = time.monotonic() + REPEAT_S
        while expected not in shown and (left := repeat - time.monotonic()) > 0:
            if select.select([screen], [], [], left)[0]:
                shown += os.read(screen, 65536)
        if b"42 answers" in shown:
            return
        if expected in shown:
            typed, expected = b"echo $((6 * 7)) answers\n", b"42 answers"
        assert time.monotonic() < until, f"the console shows {shown[-500:]!r}, not {expected!r}, within {LIMIT_S:g} s"
