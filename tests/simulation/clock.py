"""A clock that advances only while code waits, and events that happen meanwhile."""

from collections.abc import Callable
from heapq import heappop, heappush

from pragmaspec.clock import Clock


class SimulatedClock(Clock):
    """The clock of the engine and of the sites, with a queue of future events."""

    def __init__(self) -> None:
        self._now = 1_000_000.0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0

    def now(self) -> float:
        return self._now

    def monotonic(self) -> float:
        return self._now

    def sleep(self, seconds: float) -> None:
        end = self._now + seconds
        while self._events and self._events[0][0] <= end:
            at, _, event = heappop(self._events)
            self._now = max(self._now, at)
            event()
        self._now = end

    def after(self, seconds: float, event: Callable[[], None]) -> None:
        """Call ``event`` after that time, even if the process has crashed by then."""
        self._count += 1
        heappush(self._events, (self._now + seconds, self._count, event))
