"""Progress of building and downloading images, on standard error."""

import time

from pragmaspec.cli.screen import err
from pragmaspec.images.progress import ImageReporter

_QUIET_S = 5.0
"""How often a long transfer says how far it is, where lines cannot be overwritten."""


def image_progress() -> ImageReporter:
    """The reporter for standard error as it is now."""
    return ImageLines()


class ImageLines(ImageReporter):
    """One line for each new thing that is done to an image, and now and then how far it is."""

    def __init__(self) -> None:
        self._screen = err()
        self._last: tuple[str, str] | None = None
        self._said = 0.0

    def step(self, image: str, doing: str, done_bytes: int | None = None, total_bytes: int | None = None) -> None:
        """What is being done to ``image``; bytes when that is known."""
        now = time.monotonic()
        new = self._last != (image, doing)
        if (new and done_bytes and done_bytes == total_bytes) or (not new and now - self._said < _QUIET_S):
            return  # done as soon as begun, or said a moment ago
        self._last, self._said = (image, doing), now
        self._screen.say(f"image {image}: {doing}{_amount(done_bytes, total_bytes)}")


def _amount(done_bytes: int | None, total_bytes: int | None) -> str:
    from pragmaspec.report.units import size

    if not done_bytes:
        return f" ({size(total_bytes)})" if total_bytes else ""
    return f" ({size(done_bytes)} of {size(total_bytes)})" if total_bytes else f" ({size(done_bytes)})"
