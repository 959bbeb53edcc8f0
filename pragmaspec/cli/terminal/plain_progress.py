"""Progress of an apply: at a terminal a live list of what is under way, elsewhere plain lines with the time."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from pragmaspec.engine.reporter import Reporter
from pragmaspec.text import duration

if TYPE_CHECKING:
    from pragmaspec.cli.terminal.screen import Screen
    from pragmaspec.errors import PragmaspecError
    from pragmaspec.planning.plan import Action, Plan


@contextmanager
def progress(screen: "Screen", plan: "Plan") -> Iterator[Reporter]:
    """The reporter that fits ``screen``; what it shows live is gone when the block ends."""
    if plan.empty:
        yield Reporter()
    elif screen.terminal:
        from pragmaspec.cli.terminal.live_progress import live_progress

        with live_progress(screen, plan) as reporter:
            yield reporter
    else:
        plain = PlainProgress(screen)
        try:
            yield plain
        finally:
            with suppress(OSError):  # an output that is gone has been noticed before
                plain.end()


class SkippedActions:
    """Actions that are not started: the first few for each reason, and how many more there are at the end."""

    SHOWN = 3

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}

    def shown(self, because: str) -> bool:
        """Whether one more for this reason is worth a line of its own."""
        self._counts[because] = self._counts.get(because, 0) + 1
        return self._counts[because] <= self.SHOWN

    def rest(self) -> list[str]:
        """A line for each reason with more than were shown."""
        return [
            f"{count - self.SHOWN:,} more: not started, {because}"
            for because, count in self._counts.items()
            if count > self.SHOWN
        ]


REMINDER_S = 30.0
"""A stage that lasts is said again after this long, so that a log shows that something is still waited for."""


class PlainProgress(Reporter):
    """One line whenever something begins, comes to another stage, or ends, and a reminder of what lasts."""

    def __init__(self, screen: "Screen") -> None:
        self._screen = screen
        self._began = time.monotonic()
        self._started: dict[str, float] = {}
        self._stage: dict[str, str] = {}
        self._said: dict[str, float] = {}
        self._skips = SkippedActions()

    def started(self, action: "Action") -> None:
        """A line for the beginning."""
        self._started[action.key] = time.monotonic()
        self._line(f"{title(action)} ...")

    def progress(self, action: "Action", doing: str) -> None:
        """A line for each new stage, and now and then how long it has lasted."""
        words, now = stage(doing), time.monotonic()
        if self._stage.get(action.key) != words:
            self._line(f"{title(action)}: {words}")
        elif now - self._said.get(action.key, now) >= REMINDER_S:
            self._line(f"{title(action)}: {doing}")
        else:
            return
        self._stage[action.key], self._said[action.key] = words, now

    def finished(self, action: "Action") -> None:
        """A line for the end."""
        self._line(f"{title(action)}: done{self._took(action)}")

    def failed(self, action: "Action", error: "PragmaspecError") -> None:
        """A line for the failure; all of it is printed when the run ends."""
        self._line(f"{title(action)}: FAILED{self._took(action)}: {error.problems[0].summary}")

    def skipped(self, action: "Action", because: str) -> None:
        """A line for what is left undone, as long as they are few."""
        if self._skips.shown(because):
            self._line(f"{title(action)}: not started, {because}")

    def end(self) -> None:
        """How many more were left undone."""
        for line in self._skips.rest():
            self._line(line)

    def _took(self, action: "Action") -> str:
        began = self._started.get(action.key)
        return f" in {duration(time.monotonic() - began)}" if began is not None else ""

    def _line(self, text: str) -> None:
        self._screen.say(f"[{time.monotonic() - self._began:7.1f} s] {text}")


def title(action: "Action") -> str:
    """``boot hello-compute-1``."""
    from pragmaspec.report.plan.rows import display_name

    return f"{action.verb} {display_name(action.resource)}"


def stage(doing: str) -> str:
    """What is being done, without for how long: the words before the first dot."""
    return doing.split(" · ", 1)[0]
