"""Signals, while a plan is being done: the first asks to stop, the second is obeyed at once."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from pragmaspec.errors import InterruptedRunError, Problem
from pragmaspec.text import counted

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class _SecondSignal(BaseException):
    """Not one of our errors, so that nothing on the way out takes it for the answer of a site or a disk."""


@contextmanager
def handle_signals(first: Callable[[str], None], unknown: Callable[[], int]) -> Iterator[None]:
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
            raise _SecondSignal

    before = {number: signal.signal(number, handle) for number in _SIGNALS}
    try:
        yield
    except _SecondSignal:
        raise InterruptedRunError.of([stopped_problem(unknown())]) from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def stopped_problem(unknown: int) -> Problem:
    """What is said when a run leaves ``unknown`` operations behind, or none."""
    if not unknown:
        return Problem(summary="Stopped at once", detail="No operation was under way; the next apply continues.")
    return Problem(
        summary="Stopped at once",
        detail=f"{unknown_outcomes_sentence(unknown)} The next apply finishes {'it' if unknown == 1 else 'them'}.",
    )


def unknown_outcomes_sentence(unknown: int) -> str:
    """The sentence about operations whose outcome is not known."""
    has, is_ = ("has", "is") if unknown == 1 else ("have", "are")
    return f"{counted(unknown, 'operation')} {has} an unknown outcome and {is_} recorded as begun."
