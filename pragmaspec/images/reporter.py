"""How images tell what they are doing, without printing.

Where the bytes of an image stand on this machine.
"""

from pathlib import Path

from pragmaspec.frozen import Frozen


class ImageReporter:
    """Told of every stretch of work on an image. This one keeps silent; a caller that wants to show progress overrides it."""

    def step(self, image: str, doing: str, done_bytes: int | None = None, total_bytes: int | None = None) -> None:
        """``image`` is at ``doing`` ("downloading", "installing packages"), with bytes where there are any to count."""


class ImageFiles(Frozen, frozen=True):
    """Local files that hold an image's bytes, already verified against its digests."""

    disk: Path
    kernel: Path | None = None
    initrd: Path | None = None
