"""Waiting for a lock that another run holds."""

import time
from collections.abc import Callable

from msgspec.structs import replace

from pragmaspec.errors import StateLockedError
from pragmaspec.state.backends.base import Backend, LockedBackend, LockHolder
from pragmaspec.state.backends.local.file_lock import this_process

_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 2.0

WaitListener = Callable[[LockHolder | None, float], None]
"""Hears who holds the lock, and how many seconds are left."""


class LockWait:
    """How long another run is waited for. ``sleep`` and ``clock`` are those of :mod:`time`, in seconds.

    Every ground takes its lock at once or not at all, so it is asked again at growing intervals. A signal ends the waiting.
    """

    def __init__(
        self,
        limit_s: float = 0.0,
        told: WaitListener | None = None,
        *,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limit_s = limit_s
        self._told = told
        self._sleep = sleep
        self._clock = clock

    def taken(self, ground: Backend, command: str) -> LockedBackend:
        """The lock of ``ground``, for ``command``. Raises as the ground does, StateLockedError only after the limit."""
        until, pause_s = self._clock() + self._limit_s, _FIRST_PAUSE_S
        while True:
            try:
                return ground.lock(this_process(command))
            except StateLockedError as error:
                left_s = until - self._clock()
                if left_s <= 0:
                    raise self._waited(error) from None
                if self._told is not None:
                    self._told(ground.holder(), left_s)
            self._sleep(min(pause_s, left_s))
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    def _waited(self, error: StateLockedError) -> StateLockedError:
        if not self._limit_s:
            return error
        said = f" Waited {self._limit_s:g} s for it."
        return StateLockedError.of(replace(problem, detail=problem.detail + said) for problem in error.problems)
