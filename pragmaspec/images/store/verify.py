"""Verify the files of the store against their names."""

from collections.abc import Callable
from pathlib import Path

from pragmaspec.frozen import Frozen
from pragmaspec.images.store.blobs import BlobStore, file_sha256


class VerifiedFile(Frozen, frozen=True):
    """A file of the store. ``found``: the SHA-256 of its bytes; ``aside``: its new path if that is not its name."""

    digest: str
    found: str
    bytes: int
    aside: str = ""

    @property
    def whole(self) -> bool:
        """True if the file is intact."""
        return self.digest == self.found


def verify_store(store: BlobStore, progress: Callable[[str, int, int], None] | None = None) -> tuple[VerifiedFile, ...]:
    """Hash every file of the store. Damaged files are moved aside, so that the next run fetches them again.

    ``progress`` is called with the digest, the bytes read, and the size of a file.
    """
    directory = store.directory / "sha256"
    return tuple(_verified(store, file, progress) for file in sorted(directory.iterdir())) if directory.exists() else ()


def _verified(store: BlobStore, file: Path, progress: Callable[[str, int, int], None] | None) -> VerifiedFile:
    size = file.stat().st_size
    found = file_sha256(file, (lambda done, total: progress(file.name, done, total)) if progress else None)
    if found == file.name:
        return VerifiedFile(digest=file.name, found=found, bytes=size)
    aside = store.part(file.name).with_suffix(".bad")
    file.replace(aside)
    return VerifiedFile(digest=file.name, found=found, bytes=size, aside=str(aside))
