"""The clock as a parameter: the system's in production, a simulated one in tests."""

import time
from typing import Protocol


class Clock(Protocol):
    """Time, as the engine and simulated sites read it. Every method may be called from several threads at once."""

    def now(self) -> float:
        """Seconds since 1970, equal in every process that shares a site."""
        ...

    def monotonic(self) -> float:
        """Seconds since an arbitrary moment; never decreases, also when the date is set back."""
        ...

    def sleep(self, seconds: float) -> None:
        """Let ``seconds`` pass."""
        ...


class SystemClock:
    """The clock of this machine."""

    def now(self) -> float:
        """Seconds since 1970."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds since an arbitrary moment."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait for ``seconds``."""
        time.sleep(seconds)
