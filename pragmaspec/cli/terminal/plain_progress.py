"""Progress of an apply as plain lines with timestamps, for logs and pipes."""

import time
from typing import TYPE_CHECKING

from pragmaspec.engine.reporter import Reporter
from pragmaspec.text import duration
from pragmaspec.typing import override

if TYPE_CHECKING:
    from pragmaspec.cli.terminal.screen import Screen
    from pragmaspec.errors import PragmaspecError
    from pragmaspec.planning.plan import Action

REMINDER_S = 30.0
"""Interval of repeated lines for a long step, so that a log shows that the run is still waiting."""


class SkippedActions:
    """Limits the lines about skipped actions: the first few per reason, and the number of others at the end."""

    SHOWN = 3

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}

    def add(self, reason: str) -> bool:
        """Count an action that was skipped for ``reason``. True if it deserves its own line."""
        self._counts[reason] = self._counts.get(reason, 0) + 1
        return self._counts[reason] <= self.SHOWN

    def summary(self) -> list[str]:
        """Return one line per reason with the number of actions that had no line of their own."""
        return [
            f"{count - self.SHOWN:,} more: not started, {reason}" for reason, count in self._counts.items() if count > self.SHOWN
        ]


class PlainProgress(Reporter):
    """Prints a line when an action starts, enters a new step, or ends, and repeats the line of a long step."""

    def __init__(self, screen: "Screen") -> None:
        self._screen = screen
        self._start = time.monotonic()
        self._started: dict[str, float] = {}
        self._steps: dict[str, str] = {}
        self._printed: dict[str, float] = {}
        self._skipped = SkippedActions()

    @override
    def started(self, action: "Action") -> None:
        self._started[action.key] = time.monotonic()
        self._line(f"{title(action)} ...")

    @override
    def progress(self, action: "Action", activity: str) -> None:
        step, now = step_name(activity), time.monotonic()
        if self._steps.get(action.key) != step:
            self._line(f"{title(action)}: {step}")
        elif now - self._printed.get(action.key, now) >= REMINDER_S:
            self._line(f"{title(action)}: {activity}")
        else:
            return
        self._steps[action.key], self._printed[action.key] = step, now

    @override
    def finished(self, action: "Action") -> None:
        self._line(f"{title(action)}: done{self._took(action)}")

    @override
    def failed(self, action: "Action", error: "PragmaspecError") -> None:
        self._line(f"{title(action)}: FAILED{self._took(action)}: {error.problems[0].summary}")

    @override
    def skipped(self, action: "Action", reason: str) -> None:
        if self._skipped.add(reason):
            self._line(f"{title(action)}: not started, {reason}")

    def end(self) -> None:
        """Print the number of skipped actions without a line of their own."""
        for line in self._skipped.summary():
            self._line(line)

    def _took(self, action: "Action") -> str:
        start = self._started.get(action.key)
        return f" in {duration(time.monotonic() - start)}" if start is not None else ""

    def _line(self, text: str) -> None:
        self._screen.line(f"[{time.monotonic() - self._start:7.1f} s] {text}")


def title(action: "Action") -> str:
    """Return the action as text, such as ``boot hello-compute-1``."""
    from pragmaspec.report.plan.rows import display_name

    return f"{action.verb} {display_name(action.resource)}"


def step_name(activity: str) -> str:
    """Return the step without its duration: the part of ``activity`` before the first dot."""
    return activity.split(" · ", 1)[0]
