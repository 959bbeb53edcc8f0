"""What was made of a packed or foreign disk, remembered, so that nothing is unpacked or converted twice.

Kept in ``<store>/made``, a small file each. An entry counts while the disk that was made is in the store. A disk that is used
where it is has one, too: it was inspected, and qemu-img agreed.
"""

from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import msgspec

from pragmaspec.images.formats.inspect import BootFormat
from pragmaspec.images.store.blobs import BlobStore
from pragmaspec.resources import Blob

_RECIPE = "1"
"""Another number when the same file would be made into another disk."""


class BootableDisk(NamedTuple):
    """A disk that nodes can boot from, in the store."""

    blob: Blob
    format: BootFormat
    virtual_size_bytes: int


def cached_disk(
    store: BlobStore, digest: str, *, declared: str | None, partitionless: bool, member: str = ""
) -> BootableDisk | None:
    """What was made of the file with this SHA-256 under the same description, or None."""
    made = _kept(_entry(store, digest, declared, partitionless, member))
    return made if made and store.has(made.blob) else None


def cached_inspection(store: BlobStore, digest: str, *, declared: str | None, partitionless: bool) -> BootableDisk | None:
    """What the file with this SHA-256 was found to be, when nothing has to be made of it; wherever it is."""
    made = _kept(_entry(store, digest, declared, partitionless))
    return made if made and made.blob.sha256 == digest else None


def cache_disk(
    store: BlobStore, digest: str, made: BootableDisk, *, declared: str | None, partitionless: bool, member: str = ""
) -> None:
    """Keep what was made of the file with this SHA-256."""
    store.remember(_entry(store, digest, declared, partitionless, member), msgspec.json.encode(made))


def _kept(entry: Path) -> BootableDisk | None:
    try:
        return msgspec.json.decode(entry.read_bytes(), type=BootableDisk)
    except (OSError, msgspec.MsgspecError):
        return None


def _entry(store: BlobStore, digest: str, declared: str | None, partitionless: bool, member: str = "") -> Path:
    words = f"{_RECIPE} {digest} {declared} {partitionless}" + (f" {member}" if member else "")
    key = sha256(words.encode()).hexdigest()
    return store.directory / "made" / f"{key[:32]}.json"
