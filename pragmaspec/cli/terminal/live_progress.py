"""Live progress at a terminal. The only user of rich, loaded only when something is applied at a terminal."""

import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from pragmaspec.cli.terminal.plain_progress import SkippedActions, title
from pragmaspec.engine.reporter import Reporter
from pragmaspec.text import duration

if TYPE_CHECKING:
    from pragmaspec.cli.terminal.screen import Screen
    from pragmaspec.errors import PragmaspecError
    from pragmaspec.planning.plan import Action, Plan

_REFRESHES = 8
_BELOW = 3
"""Lines of the terminal that the list leaves free."""


_DONE, _FAILED, _SKIPPED = "green", "bold red", "yellow"
"""The ways in which an action ends, by the style of its line."""


@contextmanager
def live_progress(screen: "Screen", plan: "Plan") -> Iterator[Reporter]:
    """A list of what is under way, above which finished actions scroll away."""
    console = Console(file=screen.stream, no_color=not screen.colour, highlight=False, markup=False, emoji=False)
    reporter = LiveProgress(console, len(plan.actions), screen)
    with Live(reporter, console=console, refresh_per_second=_REFRESHES, transient=True) as live:
        reporter.attach(live)
        try:
            yield reporter
        finally:
            reporter.end()


class LiveProgress(Reporter):
    """Told by the thread that applies, drawn by rich's own."""

    def __init__(self, console: Console, count: int, screen: "Screen") -> None:
        self._console = console
        self._count = count
        self._pen = screen.pen
        self._guard = threading.Lock()
        self._under_way: dict[str, tuple[str, str, float]] = {}
        self._ended: Counter[str] = Counter()
        self._skips = SkippedActions()
        self._began = time.monotonic()
        self._spinner = Spinner("dots" if screen.unicode else "line")

    def attach(self, live: Live) -> None:
        """Draw once at once, not only after the first tick."""
        live.refresh()

    def started(self, action: "Action") -> None:
        """A new line in the list."""
        with self._guard:
            self._under_way[action.key] = (self._pen.say(title(action)), "", time.monotonic())

    def progress(self, action: "Action", doing: str) -> None:
        """What its line says."""
        with self._guard:
            name, _, began = self._under_way.get(action.key, (self._pen.say(title(action)), "", time.monotonic()))
            self._under_way[action.key] = (name, self._pen.say(doing), began)

    def finished(self, action: "Action") -> None:
        """The line leaves the list and stays above it."""
        self._end(action, "done", _DONE)

    def failed(self, action: "Action", error: "PragmaspecError") -> None:
        """The same, in red."""
        self._end(action, f"FAILED: {error.problems[0].summary}", _FAILED)

    def skipped(self, action: "Action", because: str) -> None:
        """The same for what never began, as long as they are few."""
        self._end(action, f"not started, {because}", _SKIPPED, shown=self._skips.shown(because))

    def end(self) -> None:
        """How many more were left undone."""
        for line in self._skips.rest():
            self._console.print(Text(f"{' ' * 11}{self._pen.say(line)}", style=_SKIPPED), soft_wrap=True)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The list as it is now."""
        now = time.monotonic()
        with self._guard:
            lines = list(self._under_way.values())
            ended = dict(self._ended)
        room = max(1, console.size.height - _BELOW)
        grid = Table.grid(padding=(0, 2))
        for name, doing, began in lines[:room]:
            grid.add_row(self._spinner, Text(name, no_wrap=True), Text(doing), Text(duration(now - began), style="dim"))
        yield grid
        more = f"{len(lines) - room:,} more under way, " if len(lines) > room else ""
        yield Text(f"{more}{_ended_words(ended, self._count)}, {duration(now - self._began)}", style="dim")

    def _end(self, action: "Action", words: str, style: str, *, shown: bool = True) -> None:
        with self._guard:
            name, _, began = self._under_way.pop(action.key, (self._pen.say(title(action)), "", time.monotonic()))
            self._ended[style] += 1
        if not shown:
            return
        took = duration(time.monotonic() - began)
        line = Text.assemble((f"{took:>9}  ", "dim"), f"{name}  ", (self._pen.say(words), style))
        self._console.print(line, soft_wrap=True)


def _ended_words(ended: Mapping[str, int], count: int) -> str:
    """``4 of 13 done, 1 failed, 8 not started``."""
    failed, skipped = ended.get(_FAILED, 0), ended.get(_SKIPPED, 0)
    more = [f"{failed:,} failed"] * bool(failed) + [f"{skipped:,} not started"] * bool(skipped)
    return ", ".join((f"{ended.get(_DONE, 0):,} of {count:,} done", *more))
