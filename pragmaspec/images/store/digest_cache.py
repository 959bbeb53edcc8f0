"""Digests of files that stay where they areed, so that a disk of gigabytes is not read for every plan."""

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
"""A file that was changed less than this before it was read may change again without its times showing it."""


class _Seen(Frozen, frozen=True):
    """A file's outside, when it was read, and the digest it had."""

    path: str
    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    device: int
    read_ns: int = 0
    sha256: str = ""

    def same(self, other: "_Seen") -> bool:
        """Whether both show the same file from outside."""
        return msgspec.structs.replace(self, read_ns=0, sha256="") == msgspec.structs.replace(other, read_ns=0, sha256="")

    @property
    def settled(self) -> bool:
        """Whether a later change must show in the times."""
        return self.read_ns - max(self.mtime_ns, self.ctime_ns) > SETTLED_NS


class DigestCache:
    """The digests of files outside the store, kept in ``<store>/local``."""

    def __init__(self, store: BlobStore) -> None:
        self._store = store
        self._directory = store.directory / "local"
        self._by_digest = store.directory.absolute() / "sha256"

    def blob(self, file: Path, counted: ProgressCallback | None = None) -> Blob:
        """The file by content. Raises ImageError when it is not a readable file, or changes while it is read."""
        now = _look(file)
        if file.parent == self._by_digest:
            return Blob(sha256=file.name, size_bytes=now.size)  # only what has this digest gets that name
        kept = self._kept(self._entry(file))
        if kept and kept.settled and kept.same(now):
            return Blob(sha256=kept.sha256, size_bytes=kept.size)
        read_ns = time.time_ns()
        try:
            digest = file_sha256(file, counted)
        except OSError as error:
            raise unreadable_file(file, error) from None
        if not _look(file).same(now):
            raise changed_while_reading(file)
        seen = msgspec.structs.replace(now, read_ns=read_ns, sha256=digest)
        self._store.remember(self._entry(file), msgspec.json.encode(seen))
        return Blob(sha256=digest, size_bytes=now.size)

    def remembered(self, file: Path) -> Blob | None:
        """The file by content as it was last read, if it looks as it did then; None: it would have to be read."""
        try:
            now = _look(file)
        except ImageError:
            return None
        kept = self._kept(self._entry(file))
        return Blob(sha256=kept.sha256, size_bytes=kept.size) if kept and kept.settled and kept.same(now) else None

    def find(self, blob: Blob) -> Path | None:
        """A file that has been seen with this content and still has it, or None."""
        for entry in self._store.remembered(self._directory):
            kept = self._kept(entry)
            if kept and (kept.sha256, kept.size) == (blob.sha256, blob.size_bytes):
                with suppress(ImageError):
                    if self.blob(Path(kept.path)) == blob:
                        return Path(kept.path)
        return None

    def _entry(self, file: Path) -> Path:
        return self._directory / f"{sha256(os.fsencode(file)).hexdigest()[:32]}.json"

    def _kept(self, entry: Path) -> _Seen | None:
        try:
            return msgspec.json.decode(self._store.recall(entry), type=_Seen)
        except (OSError, msgspec.MsgspecError):
            return None


def changed_while_reading(file: Path) -> ImageError:
    """The error for a file that is not what it was a moment ago."""
    detail = f"{file} was written to while it was read. Wait until whatever writes it is done."
    return ImageError("Image changes while it is read", detail)


def _look(file: Path) -> _Seen:
    try:
        seen = file.stat()
    except OSError as error:
        raise unreadable_file(file, error) from None
    if not stat.S_ISREG(seen.st_mode):
        raise not_a_regular_file(file)
    return _Seen(
        path=str(file),
        size=seen.st_size,
        mtime_ns=seen.st_mtime_ns,
        ctime_ns=seen.st_ctime_ns,
        inode=seen.st_ino,
        device=seen.st_dev,
    )
