"""Random faults from a seed; the same seed gives the same faults."""

from random import Random

RATES = (0.02, 0.1, 0.2, 0.4)
"""Probabilities of a fault; a scenario has one of them."""


class Crash(BaseException):
    """The process died."""


class FaultInjector:
    """Decides when faults happen, and remembers whether the process has crashed. ``calm`` ends all faults."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)  # noqa: S311 - reproducible by design
        self.rate = self.random.choice(RATES)
        self.crash_rate = self.random.choice((0.0, 0.005, 0.02, 0.05))
        self.crashed = False
        self.calm = False

    def fault(self, share: float = 1.0) -> bool:
        """True if a fault happens here; ``share`` reduces the probability."""
        return not self.calm and self.random.random() < self.rate * share

    def maybe_crash(self) -> None:
        if not self.calm and self.random.random() < self.crash_rate:
            self.crash()

    def crash(self) -> None:
        """Raise Crash. :meth:`check_alive` detects code that catches it by mistake."""
        self.crashed = True
        raise Crash

    def check_alive(self) -> None:
        if self.crashed:
            raise Crash
