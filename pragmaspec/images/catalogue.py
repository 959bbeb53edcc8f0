"""Which images the store knows: what each is, where it came from, and so how to get its bytes again."""

from collections.abc import Iterator
from typing import Literal

import msgspec

from pragmaspec.frozen import Frozen
from pragmaspec.images.fetched import Fetched
from pragmaspec.images.sources.base import Found
from pragmaspec.images.sources.table import AnySource
from pragmaspec.images.store import BlobStore, write_whole
from pragmaspec.recorded import Blob


class Entry(Frozen, frozen=True):
    """An image the store knows.

    ``date``: the day it was resolved, year-month-day; ``packages``: digest of a built image's list; ``fetched``: what was
    transferred for it.
    """

    name: str
    digest: str
    origin: str
    source: AnySource
    format: Literal["qcow2", "raw"]
    virtual_size_bytes: int
    disk: Blob
    kernel: Blob | None = None
    initrd: Blob | None = None
    cmdline: str = ""
    packages: str = ""
    date: str = ""
    fetched: Fetched | None = None

    @property
    def blobs(self) -> tuple[Blob, ...]:
        """What a node boots from."""
        return tuple(blob for blob in (self.disk, self.kernel, self.initrd) if blob)

    @property
    def size_bytes(self) -> int:
        """All its bytes together."""
        return sum(blob.size_bytes for blob in self.blobs)

    @property
    def found(self) -> Found:
        """As its source gave it."""
        return Found(
            format=self.format,
            virtual_size_bytes=self.virtual_size_bytes,
            disk=self.disk,
            kernel=self.kernel,
            initrd=self.initrd,
            cmdline=self.cmdline,
            packages=self.packages,
            fetched=self.fetched,
        )


class Catalogue:
    """The entries, one file each in ``<store>/images``. URLs in them may hold secrets, so only the owner can read them."""

    def __init__(self, store: BlobStore) -> None:
        self._directory = store.directory / "images"

    def get(self, digest: str) -> Entry | None:
        """The image with this digest, or None; a damaged entry is none."""
        try:
            return msgspec.json.decode((self._directory / f"{digest}.json").read_bytes(), type=Entry)
        except (FileNotFoundError, msgspec.MsgspecError):
            return None

    def put(self, entry: Entry) -> None:
        """Keep ``entry``. The day it was first resolved stays."""
        before = self.get(entry.digest)
        if before is not None:
            entry = msgspec.structs.replace(entry, date=before.date)
        if entry != before:
            write_whole(self._directory / f"{entry.digest}.json", msgspec.json.encode(entry))

    def all(self) -> Iterator[Entry]:
        """Every entry, the newest first."""
        entries = [entry for file in self._directory.glob("*.json") if (entry := self.get(file.stem))]
        yield from sorted(entries, key=lambda entry: (entry.date, entry.name, entry.digest), reverse=True)
