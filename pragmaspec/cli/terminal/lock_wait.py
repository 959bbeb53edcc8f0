"""Messages of a command that waits for the lock of a stack."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from pragmaspec.cli.terminal.screen import err

if TYPE_CHECKING:
    from pragmaspec.state.backends.base import LockHolder

_AGAIN_AFTER_S = (10.0, 30.0, 60.0)
"""Pauses between two lines for one holder; the last stays."""


class LockWait:
    """Names the holder at once, again when another run has taken the lock, and at growing intervals how long it has been."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._holder = ""
        self._began = 0.0
        self._said = 0.0
        self._lines = 0

    def __call__(self, holder: "LockHolder | None", limit_s: float) -> None:
        """``holder`` has the lock, of which at most ``limit_s`` seconds more are waited."""
        from pragmaspec.report.state_text import holder_description
        from pragmaspec.text import duration

        now, words = self._clock(), holder_description(holder) if holder is not None else "another run"
        if not self._lines or words != self._holder:
            self._began = self._began if self._lines else now
            self._holder, self._said, self._lines = words, now, 1
            err().say(f"Waiting at most {duration(limit_s)} for the lock: {words}.")
        elif now - self._said >= _AGAIN_AFTER_S[min(self._lines, len(_AGAIN_AFTER_S)) - 1]:
            self._said, self._lines = now, self._lines + 1
            err().say(f"Still waiting, for {duration(now - self._began)} now: {words}.")
