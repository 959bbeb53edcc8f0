"""The catalogue of known images: each with its source, from which its bytes can be fetched again."""

from collections.abc import Iterator
from pathlib import Path
from shlex import quote

import msgspec

from pragmaspec.errors import ImageError, UsageError
from pragmaspec.images.context import VerifiedImage
from pragmaspec.images.sources.registry import AnySource
from pragmaspec.images.store.blobs import BlobStore, write_atomically
from pragmaspec.resources import image_fields


class CatalogueEntry(VerifiedImage, frozen=True, kw_only=True):
    """An image that the store knows, with its source. ``date``: the day it was resolved, year-month-day."""

    name: str
    digest: str
    origin: str
    source: AnySource
    date: str = ""

    @property
    def found(self) -> VerifiedImage:
        """The image as its source provided it."""
        return VerifiedImage(**image_fields(self, VerifiedImage))


class Catalogue:
    """The entries, one file each in ``<store>/images``. Their URLs may contain secrets, so only the owner can read them.

    Imported disks have an entry by name in ``<store>/imported``: no source can provide them again, so they are kept until
    forgotten.
    """

    def __init__(self, store: BlobStore) -> None:
        self._store = store
        self._directory = store.directory / "images"
        self._imported = store.directory / "imported"

    def get(self, digest: str) -> CatalogueEntry | None:
        """Return the image with this digest, if known; damaged entries are ignored."""
        try:
            return _decoded(self._store.recall(self._directory / f"{digest}.json"))
        except OSError:
            return None

    def put(self, entry: CatalogueEntry) -> None:
        """Record ``entry``, with the day it was first resolved."""
        before = self.get(entry.digest)
        if before is not None:
            entry = msgspec.structs.replace(entry, date=before.date)
        if entry != before:
            self._store.remember(self._directory / f"{entry.digest}.json", msgspec.json.encode(entry))

    def all(self) -> Iterator[CatalogueEntry]:
        """Yield all entries including imported ones, the newest first."""
        imported = {(entry.name, entry.digest): entry for file in self._imported.glob("*.json") if (entry := _read(file))}
        others = [entry for file in self._directory.glob("*.json") if (entry := self.get(file.stem))]
        entries = (*imported.values(), *(entry for entry in others if (entry.name, entry.digest) not in imported))
        yield from sorted(entries, key=lambda entry: (entry.date, entry.name, entry.digest), reverse=True)

    def imported(self) -> tuple[CatalogueEntry, ...]:
        """Return the imported disks by name. Raises ImageError if an entry is damaged, because its disk is then unknown."""
        found = {file: _read(file) for file in sorted(self._imported.glob("*.json"))}
        damaged = [str(file) for file, entry in found.items() if entry is None]
        if damaged:
            detail = f"{', '.join(damaged)} cannot be read, so its disk is unknown. Delete it, and import the disk again."
            raise ImageError("The image store is damaged", detail)
        return tuple(entry for entry in found.values() if entry)

    def put_imported(self, entry: CatalogueEntry) -> None:
        """Record ``entry`` under its name. Raises UsageError if another disk has that name."""
        before = _read(self._imported / f"{entry.name}.json")
        if before is not None and before.digest != entry.digest:
            detail = (
                f"The store has another disk called {entry.name}, imported on {before.date} ({before.origin}). Give this one "
                f"another name with --name, or remove that one first: `pragmaspec image prune --forget {quote(entry.name)}`."
            )
            raise UsageError("Name is taken", detail)
        write_atomically(self._imported / f"{entry.name}.json", msgspec.json.encode(entry))

    def forget_imported(self, name: str) -> None:
        """Remove the entry of an imported disk."""
        (self._imported / f"{name}.json").unlink(missing_ok=True)


def _read(file: Path) -> CatalogueEntry | None:
    try:
        return _decoded(file.read_bytes())
    except OSError:
        return None


def _decoded(data: bytes) -> CatalogueEntry | None:
    try:
        return msgspec.json.decode(data, type=CatalogueEntry)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
