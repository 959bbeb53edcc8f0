"""Nodes that boot together: where running guests slow down the creation of others, all are created before any of them runs.

An emulated guest uses a whole processor as soon as it runs. Creating sixteen machines on two processors takes more than twice as
long when the first ones boot meanwhile, and the last one is ready no earlier.
"""

from collections.abc import Callable
from threading import Lock, Timer

PAUSE_LIMIT_S = 20.0
"""Maximum time that a node stays paused; the disk of another node in the batch may take minutes."""


class BootBatch:
    """The boots in flight at one site. Thread-safe.

    A ``resume`` callback lets one node run. It must not raise, and is called from the thread that completes the batch.
    """

    def __init__(self, limit_s: float = PAUSE_LIMIT_S) -> None:
        self._limit_s = limit_s
        self._lock = Lock()
        self._expected: set[str] = set()
        self._paused: list[Callable[[], None]] = []
        self._timer: Timer | None = None
        self._overdue = False

    def expect(self, key: str) -> None:
        """Add the boot ``key`` to the batch."""
        with self._lock:
            self._expected.add(key)

    def hold(self, key: str, resume: Callable[[], None]) -> None:
        """Keep the created node of ``key`` paused until all others are created too, or until the limit."""
        with self._lock:
            self._paused.append(resume)
            if self._timer is None:
                self._timer = Timer(self._limit_s, self._expire)
                self._timer.daemon = True
                self._timer.start()
        self.end(key)

    def end(self, key: str) -> None:
        """Remove the boot ``key`` from the batch: its node is created, or never will be."""
        with self._lock:
            self._expected.discard(key)
            if self._expected and not self._overdue:
                return
            callbacks = self._take_paused()
            self._overdue = self._overdue and bool(self._expected)
        _call_all(callbacks)

    def _expire(self) -> None:
        with self._lock:
            self._overdue = bool(self._expected)
            callbacks = self._take_paused()
        _call_all(callbacks)

    def _take_paused(self) -> list[Callable[[], None]]:
        callbacks, self._paused = self._paused, []
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        return callbacks


def _call_all(callbacks: list[Callable[[], None]]) -> None:
    for callback in callbacks:
        callback()
