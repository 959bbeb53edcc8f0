"""How long to go on when a server does not answer or says "later"."""

import time
from random import uniform
from typing import NamedTuple


class RetryPolicy(NamedTuple):
    """How often one request is tried, and how long to wait between tries: twice as long each time, with jitter.

    ``first_s`` is the first pause and ``most_s`` the longest; a server that asks for more time (``Retry-After``) is given it, up
    to ``most_s``. ``connect_s`` and ``answer_s`` limit each try.
    """

    tries: int = 5
    first_s: float = 1.0
    most_s: float = 30.0
    connect_s: float = 10.0
    answer_s: float = 60.0

    def pause_s(self, turn: int, asked_s: float = 0.0) -> float:
        """How long to wait after try number ``turn`` (0 is the first) has failed."""
        grown = min(self.most_s, self.first_s * 2.0**turn)
        return max(min(asked_s, self.most_s), grown * uniform(0.5, 1.0))  # noqa: S311 - spreads load, guards nothing

    def wait(self, turn: int, asked_s: float = 0.0) -> None:
        """Sleep after try number ``turn``, unless it was the last one."""
        if turn + 1 < self.tries:
            time.sleep(self.pause_s(turn, asked_s))
