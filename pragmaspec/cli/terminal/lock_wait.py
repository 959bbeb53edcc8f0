"""Messages while a command waits for the lock of a stack."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from pragmaspec.cli.terminal.screen import err

if TYPE_CHECKING:
    from pragmaspec.state.backends.base import LockHolder

_INTERVALS_S = (10.0, 30.0, 60.0)
"""Pauses between lines about the same holder; the last one repeats."""


class LockWaitMessages:
    """Prints the holder of the lock, at once and after each change, and its duration at increasing intervals."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._holder = ""
        self._start = 0.0
        self._printed = 0.0
        self._lines = 0

    def __call__(self, holder: "LockHolder | None", limit_s: float) -> None:
        """Print a line if due. ``holder`` has the lock; the command waits at most ``limit_s`` seconds more."""
        from pragmaspec.report.state_text import holder_description
        from pragmaspec.text import duration

        now, description = self._clock(), holder_description(holder) if holder is not None else "another run"
        if not self._lines or description != self._holder:
            self._start = self._start if self._lines else now
            self._holder, self._printed, self._lines = description, now, 1
            err().line(f"Waiting up to {duration(limit_s)} for the lock: {description}.")
        elif now - self._printed >= _INTERVALS_S[min(self._lines, len(_INTERVALS_S)) - 1]:
            self._printed, self._lines = now, self._lines + 1
            err().line(f"Still waiting after {duration(now - self._start)}: {description}.")
