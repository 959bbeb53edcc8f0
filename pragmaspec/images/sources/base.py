"""What a kind of source answers. A new kind is one module that has such a class, and one line in ``sources/table.py``."""

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

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
    """What a source works with: the store, the digests of local files, and whom to tell about progress.

    ``pinned``: what the transfer has to bring, when that is known; ``first_use``: take what nobody vouches for, so that it can be
    pinned; ``settings``: the user's keys, read when they are asked for unless they are given.
    """

    def __init__(
        self,
        store: BlobStore,
        image: str,
        reporter: ImageReporter,
        *,
        patience: TransferPolicy | None = None,
        pinned: Fetched | None = None,
        first_use: bool = False,
        settings: "Settings | None" = None,
    ) -> None:
        self.store = store
        self.patience = patience or TransferPolicy()
        self.pinned = pinned
        self.first_use = first_use
        self.digests = DigestCache(store)
        self.image = image
        self._reporter = reporter
        self._settings = settings

    @cached_property
    def settings(self) -> "Settings":
        """What the user has set about sources. Raises ImageError when that is not understood."""
        from pragmaspec.images.settings import read_settings  # noqa: PLC0415 - most images need none of it

        return self._settings or read_settings()

    def step(self, doing: str, done_bytes: int | None = None, total_bytes: int | None = None) -> None:
        """Tell what is being done to the image."""
        self._reporter.step(self.image, doing, done_bytes, total_bytes)

    def local(self, path: str) -> Blob:
        """A local file by content."""
        return self.digests.blob(Path(path), lambda done, total: self.step(f"reading {Path(path).name}", done, total))


class ImageSource(Protocol):
    """Where an image comes from. A plain value, so that it can be kept and used again to fetch lost bytes."""

    def origin(self) -> str:
        """For people; without credentials."""
        ...

    def described(self) -> str:
        """A digest of what the spec says of it, when what it gives is worth a lock entry; empty when the spec alone decides."""
        ...

    def find(self, workshop: ImageContext) -> VerifiedImage:
        """Get hold of the image. Must verify and inspect it. Raises ImageError."""
        ...
