"""Machines that are booted together: where guests that run slow down the making of others, none runs before all are made.

An emulated guest takes a whole processor from the moment it runs. Sixteen machines on two processors take more than twice as long
to make when the first of them boot meanwhile; their boots take as long in the end either way.
"""

from collections.abc import Callable
from threading import Lock, Timer

HOLD_LIMIT_S = 20.0
"""How long a machine is held at most: a burst may contain one whose disk takes minutes."""

ReleaseCallback = Callable[[], None]


class BootBatch:
    """The boots at one site that are under way at one time. Every method may be called from several threads at once.

    A ``release`` lets one machine run, must not raise, and is called in the thread that ends the burst.
    """

    def __init__(self, limit_s: float = HOLD_LIMIT_S) -> None:
        self._limit_s = limit_s
        self._lock = Lock()
        self._expected: set[str] = set()
        self._held: list[ReleaseCallback] = []
        self._timer: Timer | None = None
        self._overdue = False

    def expect(self, key: str) -> None:
        """The boot called ``key`` is to come."""
        with self._lock:
            self._expected.add(key)

    def hold(self, key: str, release: ReleaseCallback) -> None:
        """The machine of ``key`` is made: let it run when all others are made too, or its time is over."""
        with self._lock:
            self._held.append(release)
            if self._timer is None:
                self._timer = Timer(self._limit_s, self._expire)
                self._timer.daemon = True
                self._timer.start()
        self.end(key)

    def end(self, key: str) -> None:
        """The boot of ``key`` has nothing more to make."""
        with self._lock:
            self._expected.discard(key)
            if self._expected and not self._overdue:
                return
            released = self._let_go()
            self._overdue = self._overdue and bool(self._expected)
        _run(released)

    def _expire(self) -> None:
        with self._lock:
            self._overdue = bool(self._expected)
            released = self._let_go()
        _run(released)

    def _let_go(self) -> list[ReleaseCallback]:
        released, self._held = self._held, []
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        return released


def _run(released: list[ReleaseCallback]) -> None:
    for release in released:
        release()
