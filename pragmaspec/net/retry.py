"""Retry policy for network requests: exponential backoff with jitter."""

import time
from random import uniform

from pragmaspec.frozen import Frozen


class RetryPolicy(Frozen, frozen=True):
    """Number of attempts per request, pauses between them, and timeouts of each attempt.

    The pause doubles after each attempt, from ``first_pause_s`` up to ``max_pause_s``; a longer pause that the server requests
    (``Retry-After``) is honoured up to the same limit.
    """

    tries: int = 5
    first_pause_s: float = 1.0
    max_pause_s: float = 30.0
    connect_timeout_s: float = 10.0
    read_timeout_s: float = 60.0

    @property
    def timeouts_s(self) -> tuple[float, float]:
        """Connect and read timeout, as ``requests`` expects them."""
        return self.connect_timeout_s, self.read_timeout_s

    def pause_s(self, attempt: int, retry_after_s: float = 0.0) -> float:
        """Pause after failed attempt number ``attempt``, counted from 0."""
        backoff_s = min(self.max_pause_s, self.first_pause_s * 2.0**attempt)
        return max(min(retry_after_s, self.max_pause_s), backoff_s * uniform(0.5, 1.0))  # noqa: S311 - spreads load, no secret

    def wait(self, attempt: int, retry_after_s: float = 0.0) -> None:
        """Sleep after failed attempt number ``attempt``, unless it was the last one."""
        if attempt + 1 < self.tries:
            time.sleep(self.pause_s(attempt, retry_after_s))
