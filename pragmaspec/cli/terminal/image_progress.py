"""Progress of building and downloading images, on standard error."""

import time
from typing import TYPE_CHECKING

from pragmaspec.cli.terminal.screen import err
from pragmaspec.images.reporter import ImageReporter
from pragmaspec.resources import StagedImage

if TYPE_CHECKING:
    from pragmaspec.engine.reporter import Reporter
    from pragmaspec.planning.plan import Action, Plan
    from pragmaspec.report.transfer_rate import TransferRate

_QUIET_S = 5.0
"""How often a long transfer says how far it is, where lines cannot be overwritten."""


def image_progress() -> ImageReporter:
    """The reporter for standard error as it is now."""
    return LineImageReporter()


class ActionImageReporter(ImageReporter):
    """Shows work on an image as progress of the action that puts it at its site: its bytes may have to be made again first."""

    def __init__(self, plan: "Plan", reporter: "Reporter") -> None:
        self._reporter = reporter
        self._paces = _TransferRates()
        self._by_name: dict[str, list[Action]] = {}
        for action in plan.actions:
            if action.verb == "stage" and isinstance(action.resource, StagedImage):
                self._by_name.setdefault(action.resource.name, []).append(action)

    def step(self, image: str, doing: str, done_bytes: int | None = None, total_bytes: int | None = None) -> None:
        """What is being done to ``image``, at every site that waits for it."""
        amount = self._paces.words(image, doing, done_bytes, total_bytes)
        for action in self._by_name.get(image, ()):
            self._reporter.progress(action, f"{doing} · {amount}" if amount else doing)


class LineImageReporter(ImageReporter):
    """One line for each new thing that is done to an image, and now and then how far it is."""

    def __init__(self) -> None:
        self._screen = err()
        self._paces = _TransferRates()
        self._last: tuple[str, str] | None = None
        self._said = 0.0

    def step(self, image: str, doing: str, done_bytes: int | None = None, total_bytes: int | None = None) -> None:
        """What is being done to ``image``; bytes when that is known."""
        now = time.monotonic()
        new = self._last != (image, doing)
        if (new and done_bytes and done_bytes == total_bytes) or (not new and now - self._said < _QUIET_S):
            return  # done as soon as begun, or said a moment ago
        self._last, self._said = (image, doing), now
        amount = self._paces.words(image, doing, done_bytes, total_bytes)
        self._screen.say(f"image {image}: {doing} ({amount})" if amount else f"image {image}: {doing}")


class _TransferRates:
    """The pace of each thing that is done to each image."""

    def __init__(self) -> None:
        self._paces: dict[tuple[str, str], TransferRate] = {}

    def words(self, image: str, doing: str, done_bytes: int | None, total_bytes: int | None) -> str:
        """How far, how fast, how long still."""
        from pragmaspec.report.transfer_rate import TransferRate

        pace = self._paces.setdefault((image, doing), TransferRate())
        return pace.words(done_bytes, total_bytes, time.monotonic())
