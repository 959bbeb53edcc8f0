"""Waiting for a lock that another run holds."""

import time
from collections.abc import Callable

from msgspec.structs import replace

from pragmaspec.errors import StateLockedError
from pragmaspec.state.backends.base import Backend, LockedBackend, LockHolder
from pragmaspec.state.backends.local.file_lock import this_process

_FIRST_PAUSE_S = 0.1
_MAX_PAUSE_S = 2.0

WaitListener = Callable[[LockHolder | None, float], None]
"""Called before each pause with the holder of the lock and the number of seconds left."""


class LockWait:
    """Waits up to ``limit_s`` for the lock of a backend. ``sleep`` and ``clock`` are those of :mod:`time`, in seconds.

    A backend takes its lock at once or not at all, so it is polled at growing intervals. A signal ends the wait.
    """

    def __init__(
        self,
        limit_s: float = 0.0,
        listener: WaitListener | None = None,
        *,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limit_s = limit_s
        self._listener = listener
        self._sleep = sleep
        self._clock = clock

    def take(self, backend: Backend, command: str) -> LockedBackend:
        """Take the lock of ``backend`` for ``command``.

        Raises what :meth:`.Backend.lock` raises, StateLockedError only after the limit.
        """
        deadline, pause_s = self._clock() + self._limit_s, _FIRST_PAUSE_S
        while True:
            try:
                return backend.lock(this_process(command))
            except StateLockedError as error:
                left_s = deadline - self._clock()
                if left_s <= 0:
                    raise self._timed_out(error) from None
                if self._listener is not None:
                    self._listener(backend.holder(), left_s)
            self._sleep(min(pause_s, left_s))
            pause_s = min(2 * pause_s, _MAX_PAUSE_S)

    def _timed_out(self, error: StateLockedError) -> StateLockedError:
        if not self._limit_s:
            return error
        note = f" Waited {self._limit_s:g} s for it."
        return StateLockedError.of(replace(problem, detail=problem.detail + note) for problem in error.problems)
