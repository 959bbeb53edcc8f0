"""Where the bytes of an image stand on this machine."""

from pathlib import Path

from pragmaspec.frozen import Frozen


class ImageFiles(Frozen, frozen=True):
    """Local files that hold an image's bytes, already verified against its digests."""

    disk: Path
    kernel: Path | None = None
    initrd: Path | None = None
