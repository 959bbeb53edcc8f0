"""Time that passes only when somebody waits, and what happens meanwhile."""

from collections.abc import Callable
from heapq import heappop, heappush


class SimClock:
    """The clock of the engine and of the sites, with everything that is still to happen by itself."""

    def __init__(self) -> None:
        self._now = 1_000_000.0
        self._later: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0

    def now(self) -> float:
        return self._now

    def monotonic(self) -> float:
        return self._now

    def sleep(self, seconds: float) -> None:
        end = self._now + seconds
        while self._later and self._later[0][0] <= end:
            at, _, happen = heappop(self._later)
            self._now = max(self._now, at)
            happen()
        self._now = end

    def after(self, seconds: float, happen: Callable[[], None]) -> None:
        """Let ``happen`` happen when that much time has passed, whoever lives or dies until then."""
        self._count += 1
        heappush(self._later, (self._now + seconds, self._count, happen))
