"""Time, as something that can be handed in: the machine's for people, a quick one for tests."""

import time
from typing import Protocol


class Clock(Protocol):
    """What an apply asks of time. Used from several threads at once."""

    def monotonic(self) -> float:
        """Seconds since some moment; never goes back, whatever is done to the date."""
        ...

    def sleep(self, seconds: float) -> None:
        """Let ``seconds`` pass."""
        ...


class SystemClock:
    """The machine's own."""

    def monotonic(self) -> float:
        """Seconds since some moment."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait for real."""
        time.sleep(seconds)
