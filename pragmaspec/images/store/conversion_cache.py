"""Cache of disks made from packed or foreign files, so that nothing is unpacked or converted twice.

Each entry is a small file in ``<store>/made``, valid while its disk is in the store. A disk that is used in place has an entry
too: it was inspected, and qemu-img agreed.
"""

from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import msgspec

from pragmaspec.frozen import Frozen
from pragmaspec.images.formats.inspect import BootFormat
from pragmaspec.images.store.blobs import BlobStore
from pragmaspec.resources import Blob

_RECIPE = "1"
"""To be changed when the same file would become another disk."""


class BootableDisk(NamedTuple):
    """A disk that nodes can boot from."""

    blob: Blob
    format: BootFormat
    virtual_size_bytes: int


class DiskOptions(Frozen, frozen=True):
    """How to read a file as a disk.

    ``declared``: the format of the disk itself, whatever is around it, None to detect it; ``partitionless``: the disk may lack a
    partition table, because it boots with a kernel; ``member``: its path in the archive, empty to select it.
    """

    declared: str | None = None
    partitionless: bool = False
    member: str = ""


def cached_disk(store: BlobStore, digest: str, options: DiskOptions) -> BootableDisk | None:
    """Return the disk made from the file with this SHA-256, if it is in the store."""
    disk = _read(_entry(store, digest, options))
    return disk if disk and store.has(disk.blob) else None


def cached_inspection(store: BlobStore, digest: str, options: DiskOptions) -> BootableDisk | None:
    """Return the file with this SHA-256 as a disk that needs no conversion, wherever it is, if it was inspected before."""
    disk = _read(_entry(store, digest, options))
    return disk if disk and disk.blob.sha256 == digest else None


def cache_disk(store: BlobStore, digest: str, disk: BootableDisk, options: DiskOptions) -> None:
    """Record the disk made from the file with this SHA-256."""
    store.remember(_entry(store, digest, options), msgspec.json.encode(disk))


def _read(entry: Path) -> BootableDisk | None:
    try:
        return msgspec.json.decode(entry.read_bytes(), type=BootableDisk)
    except (OSError, msgspec.MsgspecError):
        return None


def _entry(store: BlobStore, digest: str, options: DiskOptions) -> Path:
    words = [_RECIPE, digest, str(options.declared), str(options.partitionless)]
    key = sha256(" ".join([*words, options.member] if options.member else words).encode()).hexdigest()
    return store.directory / "made" / f"{key[:32]}.json"
