"""Selection of the progress display: live on a terminal, plain lines elsewhere."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from pragmaspec.cli.terminal.plain_progress import PlainProgress
from pragmaspec.engine.reporter import Reporter

if TYPE_CHECKING:
    from pragmaspec.cli.terminal.screen import Screen
    from pragmaspec.planning.plan import Plan


@contextmanager
def progress_reporter(screen: "Screen", plan: "Plan") -> Iterator[Reporter]:
    """Yield the reporter for ``screen``. A live display is removed at the end."""
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
            with suppress(OSError):  # an output that cannot be written has been reported before
                plain.end()
