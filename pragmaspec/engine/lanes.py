"""Threads that do jobs, at most so many at once; unlike a ThreadPoolExecutor's, they never keep a process from ending."""

import threading
from collections import deque
from collections.abc import Callable

Job = Callable[[], None]


class Lane:
    """Does jobs in the order they come, ``width`` at a time. Jobs must not raise."""

    def __init__(self, name: str, width: int) -> None:
        self._name = name
        self._width = width
        self._jobs: deque[tuple[str, Job]] = deque()
        self._changed = threading.Condition()
        self._threads = 0
        self._idle = 0
        self._closed = False

    def submit(self, key: str, job: Job) -> None:
        """Do ``job`` when its turn comes. ``key`` names it in :meth:`cancel`."""
        with self._changed:
            self._jobs.append((key, job))
            if len(self._jobs) <= self._idle:
                self._changed.notify()
            elif self._threads < self._width:
                self._threads += 1
                threading.Thread(target=self._work, name=f"{self._name}-{self._threads}", daemon=True).start()

    def cancel(self) -> list[str]:
        """Forget the jobs that have not begun, and return their keys."""
        with self._changed:
            keys = [key for key, _ in self._jobs]
            self._jobs.clear()
        return keys

    def close(self) -> None:
        """Let the threads end as soon as they have nothing to do."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._jobs:
                    if self._closed:
                        return
                    self._idle += 1
                    self._changed.wait()
                    self._idle -= 1
                _, job = self._jobs.popleft()
            job()
