"""Whether the files of the store still are what their names say."""

from collections.abc import Callable
from pathlib import Path

from pragmaspec.frozen import Frozen
from pragmaspec.images.store.blobs import BlobStore, file_sha256


class VerifiedFile(Frozen, frozen=True):
    """A file of the store. ``found``: the SHA-256 of its bytes; ``aside``: where it was put when that is not its name."""

    digest: str
    found: str
    bytes: int
    aside: str = ""

    @property
    def whole(self) -> bool:
        """Whether it is what its name says."""
        return self.digest == self.found


def verify_store(store: BlobStore, counted: Callable[[str, int, int], None] | None = None) -> tuple[VerifiedFile, ...]:
    """Read every file of the store. A damaged one is put aside, so that the next run gets it anew.

    ``counted`` is told the digest, and bytes read and in all of that file.
    """
    directory = store.directory / "sha256"
    return tuple(_verified(store, file, counted) for file in sorted(directory.iterdir())) if directory.exists() else ()


def _verified(store: BlobStore, file: Path, counted: Callable[[str, int, int], None] | None) -> VerifiedFile:
    size = file.stat().st_size
    found = file_sha256(file, (lambda done, total: counted(file.name, done, total)) if counted else None)
    if found == file.name:
        return VerifiedFile(digest=file.name, found=found, bytes=size)
    aside = store.part(file.name).with_suffix(".bad")
    file.replace(aside)
    return VerifiedFile(digest=file.name, found=found, bytes=size, aside=str(aside))
