"""Progress of image builds and downloads, on standard error."""

import time
from typing import TYPE_CHECKING

from pragmaspec.cli.terminal.screen import err
from pragmaspec.images.reporter import ImageReporter
from pragmaspec.resources import StagedImage
from pragmaspec.typing import override

if TYPE_CHECKING:
    from pragmaspec.engine.reporter import Reporter
    from pragmaspec.planning.plan import Action, Plan
    from pragmaspec.report.transfer_rate import TransferRate

_INTERVAL_S = 5.0
"""Interval of lines about the same step."""


def image_progress() -> ImageReporter:
    """Return a reporter that prints to the current standard error."""
    return LineImageReporter()


class ActionImageReporter(ImageReporter):
    """Shows work on an image as progress of the actions that stage it: its bytes may have to be downloaded or built again."""

    def __init__(self, plan: "Plan", reporter: "Reporter") -> None:
        self._reporter = reporter
        self._rates = _TransferRates()
        self._by_name: dict[str, list[Action]] = {}
        for action in plan.actions:
            if action.verb == "stage" and isinstance(action.resource, StagedImage):
                self._by_name.setdefault(action.resource.name, []).append(action)

    @override
    def step(self, image: str, doing: str, done_bytes: int | None = None, total_bytes: int | None = None) -> None:
        amount = self._rates.words(image, doing, done_bytes, total_bytes)
        for action in self._by_name.get(image, ()):
            self._reporter.progress(action, f"{doing} · {amount}" if amount else doing)


class LineImageReporter(ImageReporter):
    """Prints a line per new step of an image, and at intervals the transferred amount."""

    def __init__(self) -> None:
        self._screen = err()
        self._rates = _TransferRates()
        self._last: tuple[str, str] | None = None
        self._printed = 0.0

    @override
    def step(self, image: str, doing: str, done_bytes: int | None = None, total_bytes: int | None = None) -> None:
        now = time.monotonic()
        new = self._last != (image, doing)
        if (new and done_bytes and done_bytes == total_bytes) or (not new and now - self._printed < _INTERVAL_S):
            return  # complete at its first report, or printed recently
        self._last, self._printed = (image, doing), now
        amount = self._rates.words(image, doing, done_bytes, total_bytes)
        self._screen.line(f"image {image}: {doing} ({amount})" if amount else f"image {image}: {doing}")


class _TransferRates:
    """The transfer rate per step and image."""

    def __init__(self) -> None:
        self._rates: dict[tuple[str, str], TransferRate] = {}

    def words(self, image: str, doing: str, done_bytes: int | None, total_bytes: int | None) -> str:
        """Return amount, rate and remaining time as text."""
        from pragmaspec.report.transfer_rate import TransferRate

        rate = self._rates.setdefault((image, doing), TransferRate())
        return rate.text(done_bytes, total_bytes, time.monotonic())
