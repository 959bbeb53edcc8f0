"""Progress of work on images, and their files on this machine."""

from pathlib import Path

from pragmaspec.frozen import Frozen


class ImageReporter:
    """Receives the progress of work on an image. This one ignores it; callers that show progress override it."""

    def step(self, image: str, doing: str, done_bytes: int | None = None, total_bytes: int | None = None) -> None:
        """Report an activity ("downloading", "installing packages") for ``image``, with bytes if they are known."""


class ImageFiles(Frozen, frozen=True):
    """The local files of an image, verified against its digests."""

    disk: Path
    kernel: Path | None = None
    initrd: Path | None = None
