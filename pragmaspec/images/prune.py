"""Remove unused files from the store: files that no stack needs, and leftovers of interrupted runs.

The files to remove are a value, computed first and shown; each is checked again before it is removed. Recent files are kept: a
run may have made an image and not yet recorded that it uses it.
"""

import fcntl
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

from pragmaspec.frozen import Frozen
from pragmaspec.images.catalogue import Catalogue
from pragmaspec.images.store.blobs import BlobStore

DAY_S = 24 * 3600
MIN_AGE_S = DAY_S
"""Minimum age of a file to be removed."""

PruneReason = Literal["unused", "left over", "put aside", "record of nothing"]


class Removable(Frozen, frozen=True):
    """A file or directory of the store that can be removed. ``bytes``: its disk usage."""

    path: str
    bytes: int
    why: PruneReason
    ctime_ns: int


class PrunePlan(Frozen, frozen=True):
    """The files to remove, the largest first, and the number and size of those that stay."""

    removable: tuple[Removable, ...]
    kept_files: int
    kept_bytes: int

    @property
    def bytes(self) -> int:
        """Disk space to be freed."""
        return sum(removable.bytes for removable in self.removable)


def plan_prune(
    store: BlobStore, needed: Iterable[str], images: Iterable[str], now_s: float, old_s: float = MIN_AGE_S
) -> PrunePlan:
    """Return the unused files. ``needed``: digests of files in use; ``images``: digests of images in use.

    ``now_s``: the current time, in seconds since 1970.
    """
    needed_files, needed_images = set(needed), set(images)
    removable: list[Removable] = []
    kept = 0
    kept_bytes = 0
    for file in _files(store.directory / "sha256"):
        if file.name not in needed_files and _old(file, now_s, old_s):
            removable.append(_removable(file, "unused"))
        else:
            kept += 1
            kept_bytes += _disk_usage(file)
    removed = {Path(each.path).name for each in removable}
    remaining = {file.name for file in _files(store.directory / "sha256")} - removed
    removable += [
        _removable(each, "put aside" if each.suffix == ".bad" else "left over")
        for each in _files(store.incoming)
        if _old(each, now_s, old_s) and not _is_locked(store, each)
    ]
    removable += [
        _removable(each, "record of nothing")
        for each in _files(store.directory / "images")
        if each.stem not in needed_images and _old(each, now_s, old_s) and not remaining.intersection(_files_of(store, each.stem))
    ]
    return PrunePlan(
        removable=tuple(sorted(removable, key=lambda each: (-each.bytes, each.path))), kept_files=kept, kept_bytes=kept_bytes
    )


def prune(store: BlobStore, pruning: PrunePlan) -> tuple[Removable, ...]:
    """Remove the files of a plan and return the removed ones; those that have changed or are locked meanwhile are kept."""
    removed = []
    with store.exclusive():
        for each in pruning.removable:
            path = Path(each.path)
            if _ctime(path) == each.ctime_ns and not (path.parent == store.incoming and _is_locked(store, path)):
                _remove(path)
                removed.append(each)
    return tuple(removed)


def _files_of(store: BlobStore, image: str) -> set[str]:
    """Return the digests of the files of an image."""
    entry = Catalogue(store).get(image)
    return {blob.sha256 for blob in entry.blobs} if entry else set()


def _files(directory: Path) -> Iterator[Path]:
    try:
        yield from sorted(directory.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return


def _removable(path: Path, why: PruneReason) -> Removable:
    return Removable(path=str(path), bytes=_disk_usage(path), why=why, ctime_ns=_ctime(path) or 0)


def _old(path: Path, now_s: float, old_s: float) -> bool:
    changed = _ctime(path)
    return changed is not None and now_s - changed / 1e9 > old_s


def _ctime(path: Path) -> int | None:
    """Return the time of the last change, including its name; None if it does not exist."""
    try:
        return path.lstat().st_ctime_ns
    except FileNotFoundError:
        return None


def _disk_usage(path: Path) -> int:
    """Return the disk usage; holes do not count."""
    if path.is_dir() and not path.is_symlink():
        return sum(_disk_usage(each) for each in path.iterdir())
    try:
        return path.lstat().st_blocks * 512
    except FileNotFoundError:
        return 0


def _is_locked(store: BlobStore, path: Path) -> bool:
    """True if a run uses it: writers of ``incoming/<name>.…`` hold the lock ``name``."""
    try:
        handle = os.open(store.directory / "locks" / path.name.partition(".")[0], os.O_RDONLY)
    except (FileNotFoundError, NotADirectoryError):
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(handle)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
