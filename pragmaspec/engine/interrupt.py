"""Signals, while a plan is being done: the first asks to stop, the second is obeyed at once."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from pragmaspec.errors import InterruptedRunError, Problem

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def signals(first: Callable[[str], None], unknown: Callable[[], int]) -> Iterator[None]:
    """Call ``first`` with the signal's name on the first signal, and raise InterruptedRunError on the second.

    ``unknown`` counts the operations whose outcome is not known yet, for the message. Handlers are put in only in the main thread
    (Python allows no other) and are put back afterwards.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    seen: list[int] = []

    def handle(number: int, _frame: FrameType | None) -> None:
        seen.append(number)
        if len(seen) == 1:
            first(signal.Signals(number).name)
        else:
            raise InterruptedRunError(at_once(unknown()))

    before = {number: signal.signal(number, handle) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def at_once(unknown: int) -> Problem:
    """What is said when a run leaves operations behind."""
    return Problem(
        summary="Stopped at once",
        detail=f"{unknown} operations have an unknown outcome. They are recorded as begun; the next apply finishes them.",
    )
