"""The context that image sources work in, and the images that they return."""

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from pragmaspec.images.reporter import ImageReporter
from pragmaspec.images.store.blobs import BlobStore
from pragmaspec.images.store.digest_cache import DigestCache
from pragmaspec.images.store.fetched import Fetched
from pragmaspec.images.transfer.policy import TransferPolicy
from pragmaspec.planning.wanted import Firmware
from pragmaspec.resources import Blob, BootImage

if TYPE_CHECKING:
    from pragmaspec.images.settings import Settings


class VerifiedImage(BootImage, frozen=True, kw_only=True):
    """An image as its source provided it: verified and inspected, its bytes in the store or in a local file.

    ``packages``: digest of the package list of a built image; ``fetched``: the transferred file, if any; ``firmware``: the
    firmware that boots the disk (:mod:`pragmaspec.images.firmware.detect`).
    """

    packages: str = ""
    fetched: Fetched | None = None
    firmware: Firmware = "bios"


class ImageContext:
    """The store, the digest cache, the settings and the progress reporter for work on one image.

    ``pinned``: the file that a transfer must yield, if known; ``first_use``: accept a file that has no published digest, so that
    it can be locked; ``settings``: read from the user's configuration on first use unless given.
    """

    def __init__(
        self,
        store: BlobStore,
        image: str,
        reporter: ImageReporter,
        *,
        policy: TransferPolicy | None = None,
        pinned: Fetched | None = None,
        first_use: bool = False,
        settings: "Settings | None" = None,
    ) -> None:
        self.store = store
        self.policy = policy or TransferPolicy()
        self.pinned = pinned
        self.first_use = first_use
        self.digests = DigestCache(store)
        self.image = image
        self._reporter = reporter
        self._settings = settings

    @cached_property
    def settings(self) -> "Settings":
        """The user's settings for image sources. Raises ImageError if they are invalid."""
        from pragmaspec.images.settings import read_settings  # noqa: PLC0415 - most images need none of it

        return self._settings or read_settings()

    def step(self, doing: str, done_bytes: int | None = None, total_bytes: int | None = None) -> None:
        """Report progress on the image."""
        self._reporter.step(self.image, doing, done_bytes, total_bytes)

    def find(self, blob: Blob) -> Path | None:
        """Return a file with this content, in the store or outside, if any."""
        return self.store.path(blob.sha256) if self.store.has(blob) else self.digests.find(blob)

    def local(self, path: str) -> Blob:
        """Return digest and size of a local file."""
        return self.digests.blob(Path(path), lambda done, total: self.step(f"reading {Path(path).name}", done, total))
