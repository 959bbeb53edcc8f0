"""Live progress at a terminal. The only user of rich, loaded only when something is applied at a terminal."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from pragmaspec.cli.progress import title
from pragmaspec.engine.reporter import Reporter
from pragmaspec.report.units import duration

if TYPE_CHECKING:
    from pragmaspec.cli.screen import Screen
    from pragmaspec.errors import PragmaspecError
    from pragmaspec.planning.plan import Action, Plan

_REFRESHES = 8
_BELOW = 3
"""Lines of the terminal that the list leaves free."""


@contextmanager
def live_progress(screen: "Screen", plan: "Plan") -> Iterator[Reporter]:
    """A list of what is under way, above which finished actions scroll away."""
    console = Console(file=screen.stream, no_color=not screen.colour, highlight=False, markup=False, emoji=False)
    reporter = LiveProgress(console, len(plan.actions), screen)
    with Live(reporter, console=console, refresh_per_second=_REFRESHES, transient=True) as live:
        reporter.attach(live)
        yield reporter


class LiveProgress(Reporter):
    """Told by the thread that applies, drawn by rich's own."""

    def __init__(self, console: Console, count: int, screen: "Screen") -> None:
        self._console = console
        self._count = count
        self._pen = screen.pen
        self._guard = threading.Lock()
        self._under_way: dict[str, tuple[str, str, float]] = {}
        self._ended = 0
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
        self._end(action, "done", "green")

    def failed(self, action: "Action", error: "PragmaspecError") -> None:
        """The same, in red."""
        self._end(action, f"FAILED: {error.problems[0].summary}", "bold red")

    def skipped(self, action: "Action", because: str) -> None:
        """The same for what never began."""
        self._end(action, f"not started, {because}", "yellow")

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The list as it is now."""
        now = time.monotonic()
        with self._guard:
            lines = list(self._under_way.values())
            ended = self._ended
        room = max(1, console.size.height - _BELOW)
        grid = Table.grid(padding=(0, 2))
        for name, doing, began in lines[:room]:
            grid.add_row(self._spinner, Text(name, no_wrap=True), Text(doing), Text(duration(now - began), style="dim"))
        yield grid
        more = f"{len(lines) - room:,} more under way, " if len(lines) > room else ""
        yield Text(f"{more}{ended:,} of {self._count:,} done, {duration(now - self._began)}", style="dim")

    def _end(self, action: "Action", words: str, style: str) -> None:
        with self._guard:
            name, _, began = self._under_way.pop(action.key, (self._pen.say(title(action)), "", time.monotonic()))
            self._ended += 1
        took = duration(time.monotonic() - began)
        line = Text.assemble((f"{took:>9}  ", "dim"), f"{name}  ", (self._pen.say(words), style))
        self._console.print(line, soft_wrap=True)
