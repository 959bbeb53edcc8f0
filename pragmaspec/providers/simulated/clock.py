"""Time, as something that can be handed in: the real clock for people, a quick one for tests and for years in a second."""

import time
from typing import Protocol


class Clock(Protocol):
    """What a simulated site asks of time. Both methods are called from several threads at once."""

    def now(self) -> float:
        """Seconds since 1970, the same for every process that shares a site."""
        ...

    def sleep(self, seconds: float) -> None:
        """Let ``seconds`` pass."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> float:
        """Seconds since 1970."""
        return time.time()

    def sleep(self, seconds: float) -> None:
        """Wait for real."""
        time.sleep(seconds)
