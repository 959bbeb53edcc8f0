"""Cache of the digests of files outside the store, so that large disks are not hashed for every plan."""

import os
import stat
import time
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import msgspec

from pragmaspec.errors import ImageError
from pragmaspec.frozen import Frozen
from pragmaspec.images.formats.random_access import not_a_regular_file, unreadable_file
from pragmaspec.images.store.blobs import BlobStore, ProgressCallback, file_sha256
from pragmaspec.resources import Blob

SETTLED_NS = 100_000_000
"""A file changed less than this before it was hashed may change again without a change of its timestamps."""


class _CachedDigest(Frozen, frozen=True):
    """A file's metadata, the time it was hashed, and its digest."""

    path: str
    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    device: int
    read_ns: int = 0
    sha256: str = ""

    def same(self, other: "_CachedDigest") -> bool:
        """True if both have the same metadata."""
        return msgspec.structs.replace(self, read_ns=0, sha256="") == msgspec.structs.replace(other, read_ns=0, sha256="")

    @property
    def settled(self) -> bool:
        """True if a later change would change the timestamps."""
        return self.read_ns - max(self.mtime_ns, self.ctime_ns) > SETTLED_NS


class DigestCache:
    """Digests of files outside the store, cached in ``<store>/local``."""

    def __init__(self, store: BlobStore) -> None:
        self._store = store
        self._directory = store.directory / "local"
        self._blobs = store.directory.absolute() / "sha256"

    def blob(self, file: Path, progress: ProgressCallback | None = None) -> Blob:
        """Return digest and size of a file. Raises ImageError if it is not a readable file, or changes meanwhile."""
        now = _stat(file)
        if file.parent == self._blobs:
            return Blob(sha256=file.name, size_bytes=now.size)  # files of the store are named by their digest
        cached = self._cached(self._path(file))
        if cached and cached.settled and cached.same(now):
            return Blob(sha256=cached.sha256, size_bytes=cached.size)
        read_ns = time.time_ns()
        try:
            digest = file_sha256(file, progress)
        except OSError as error:
            raise unreadable_file(file, error) from None
        if not _stat(file).same(now):
            raise changed_while_reading(file)
        entry = msgspec.structs.replace(now, read_ns=read_ns, sha256=digest)
        self._store.remember(self._path(file), msgspec.json.encode(entry))
        return Blob(sha256=digest, size_bytes=now.size)

    def remembered(self, file: Path) -> Blob | None:
        """Return the cached digest and size of a file, None if it would have to be hashed."""
        try:
            now = _stat(file)
        except ImageError:
            return None
        cached = self._cached(self._path(file))
        return Blob(sha256=cached.sha256, size_bytes=cached.size) if cached and cached.settled and cached.same(now) else None

    def find(self, blob: Blob) -> Path | None:
        """Return a known file that still has this content, if any."""
        for path in self._store.remembered(self._directory):
            cached = self._cached(path)
            if cached and (cached.sha256, cached.size) == (blob.sha256, blob.size_bytes):
                with suppress(ImageError):
                    if self.blob(Path(cached.path)) == blob:
                        return Path(cached.path)
        return None

    def _path(self, file: Path) -> Path:
        return self._directory / f"{sha256(os.fsencode(file)).hexdigest()[:32]}.json"

    def _cached(self, path: Path) -> _CachedDigest | None:
        try:
            return msgspec.json.decode(self._store.recall(path), type=_CachedDigest)
        except (OSError, msgspec.MsgspecError):
            return None


def changed_while_reading(file: Path) -> ImageError:
    """Return the error for a file that changed meanwhile."""
    detail = f"{file} was modified while it was read. Wait until the program that writes it is done."
    return ImageError("Image changed while it was read", detail)


def _stat(file: Path) -> _CachedDigest:
    try:
        entry = file.stat()
    except OSError as error:
        raise unreadable_file(file, error) from None
    if not stat.S_ISREG(entry.st_mode):
        raise not_a_regular_file(file)
    return _CachedDigest(
        path=str(file),
        size=entry.st_size,
        mtime_ns=entry.st_mtime_ns,
        ctime_ns=entry.st_ctime_ns,
        inode=entry.st_ino,
        device=entry.st_dev,
    )
