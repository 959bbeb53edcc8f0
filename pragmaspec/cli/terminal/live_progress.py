"""Live progress of an apply on a terminal. The only module that uses rich, loaded only if needed."""

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
from pragmaspec.typing import override

if TYPE_CHECKING:
    from pragmaspec.cli.terminal.screen import Screen
    from pragmaspec.errors import PragmaspecError
    from pragmaspec.planning.plan import Action, Plan

_REFRESHES_PER_S = 8
_FREE_LINES = 3
"""Lines of the terminal that the list does not use."""
_DONE, _FAILED, _SKIPPED = "green", "bold red", "yellow"
"""Results of an action, each identified by the style of its line."""


@contextmanager
def live_progress(screen: "Screen", plan: "Plan") -> Iterator[Reporter]:
    """Show a list of running actions; completed actions scroll away above it."""
    console = Console(file=screen.stream, no_color=not screen.colour, highlight=False, markup=False, emoji=False)
    reporter = LiveProgress(console, len(plan.actions), screen)
    with Live(reporter, console=console, refresh_per_second=_REFRESHES_PER_S, transient=True) as live:
        live.refresh()  # draw immediately instead of after the first interval
        try:
            yield reporter
        finally:
            reporter.end()


class LiveProgress(Reporter):
    """Updated by the thread of the apply loop, drawn by rich's own thread."""

    def __init__(self, console: Console, count: int, screen: "Screen") -> None:
        self._console = console
        self._count = count
        self._style = screen.style
        self._lock = threading.Lock()
        self._running: dict[str, tuple[str, str, float]] = {}
        self._results: Counter[str] = Counter()
        self._skipped = SkippedActions()
        self._start = time.monotonic()
        self._spinner = Spinner("dots" if screen.unicode else "line")

    @override
    def started(self, action: "Action") -> None:
        with self._lock:
            self._running[action.key] = self._new_entry(action)

    @override
    def progress(self, action: "Action", activity: str) -> None:
        with self._lock:
            name, _, start = self._running.get(action.key, self._new_entry(action))
            self._running[action.key] = (name, self._style.safe(activity), start)

    @override
    def finished(self, action: "Action") -> None:
        self._end(action, "done", _DONE)

    @override
    def failed(self, action: "Action", error: "PragmaspecError") -> None:
        self._end(action, f"FAILED: {error.problems[0].summary}", _FAILED)

    @override
    def skipped(self, action: "Action", reason: str) -> None:
        self._end(action, f"not started, {reason}", _SKIPPED, shown=self._skipped.add(reason))

    def end(self) -> None:
        """Print the number of skipped actions without a line of their own."""
        for line in self._skipped.summary():
            self._console.print(Text(f"{' ' * 11}{self._style.safe(line)}", style=_SKIPPED), soft_wrap=True)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Render the list, called by rich."""
        now = time.monotonic()
        with self._lock:
            running = list(self._running.values())
            results = dict(self._results)
        max_lines = max(1, console.size.height - _FREE_LINES)
        grid = Table.grid(padding=(0, 2))
        for name, activity, start in running[:max_lines]:
            grid.add_row(self._spinner, Text(name, no_wrap=True), Text(activity), Text(duration(now - start), style="dim"))
        yield grid
        more = f"{len(running) - max_lines:,} more running, " if len(running) > max_lines else ""
        yield Text(f"{more}{_results_text(results, self._count)}, {duration(now - self._start)}", style="dim")

    def _new_entry(self, action: "Action") -> tuple[str, str, float]:
        return self._style.safe(title(action)), "", time.monotonic()

    def _end(self, action: "Action", result: str, style: str, *, shown: bool = True) -> None:
        with self._lock:
            name, _, start = self._running.pop(action.key, self._new_entry(action))
            self._results[style] += 1
        if not shown:
            return
        took = duration(time.monotonic() - start)
        line = Text.assemble((f"{took:>9}  ", "dim"), f"{name}  ", (self._style.safe(result), style))
        self._console.print(line, soft_wrap=True)


def _results_text(results: Mapping[str, int], count: int) -> str:
    """Return a summary such as ``4 of 13 done, 1 failed, 8 not started``."""
    failed, skipped = results.get(_FAILED, 0), results.get(_SKIPPED, 0)
    more = [f"{failed:,} failed"] * bool(failed) + [f"{skipped:,} not started"] * bool(skipped)
    return ", ".join((f"{results.get(_DONE, 0):,} of {count:,} done", *more))
