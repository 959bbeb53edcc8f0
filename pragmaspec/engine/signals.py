"""Signal handling during an apply: the first signal requests a stop, the second one stops immediately."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from pragmaspec.errors import InterruptedRunError, Problem
from pragmaspec.text import counted

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class _SecondSignal(BaseException):
    """Not a PragmaspecError or OSError, so that no handler on the way takes it for an error of a site or a disk."""


@contextmanager
def handle_signals(on_first: Callable[[str], None], count_unknown: Callable[[], int]) -> Iterator[None]:
    """Call ``on_first`` with the name of the first signal; raise InterruptedRunError on the second.

    ``count_unknown`` returns the number of operations without a known outcome, for the message. Handlers are installed in the
    main thread only, as Python requires, and restored afterwards.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    received: list[int] = []

    def handle(number: int, _frame: FrameType | None) -> None:
        received.append(number)
        if len(received) == 1:
            on_first(signal.Signals(number).name)
        else:
            raise _SecondSignal

    before = {number: signal.signal(number, handle) for number in _SIGNALS}
    try:
        yield
    except _SecondSignal:
        raise InterruptedRunError.of([stopped_problem(count_unknown())]) from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def stopped_problem(unknown: int) -> Problem:
    """The problem of a run that was stopped with ``unknown`` operations in flight."""
    detail = "No operation was in flight; the next apply continues."
    if unknown:
        detail = f"{unknown_outcomes_sentence(unknown)} The next apply resolves {'it' if unknown == 1 else 'them'}."
    return Problem(summary="Stopped immediately", detail=detail)


def unknown_outcomes_sentence(unknown: int) -> str:
    """A sentence about ``unknown`` operations without a known outcome."""
    has, is_ = ("has", "is") if unknown == 1 else ("have", "are")
    return f"{counted(unknown, 'operation')} {has} an unknown outcome and {is_} recorded as started."
