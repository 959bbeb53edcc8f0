"""Removing what nobody needs from the store: files that no stack reaches, and what interrupted runs left behind.

What to remove is a value, made first and shown; removing looks again at each file before it goes. Young files stay, whoever
reaches them: a run may be between having made an image and having written down that it uses it.
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
"""How old a file has to be."""

PruneReason = Literal["unused", "left over", "put aside", "record of nothing"]


class Removable(Frozen, frozen=True):
    """A file or directory of the store that may go. ``bytes``: the room it takes on the disk."""

    path: str
    bytes: int
    why: PruneReason
    ctime_ns: int


class PrunePlan(Frozen, frozen=True):
    """What may go, the largest first, and how much stays."""

    removable: tuple[Removable, ...]
    kept_files: int
    kept_bytes: int

    @property
    def bytes(self) -> int:
        """The room that is won."""
        return sum(doomed.bytes for doomed in self.removable)


def plan_prune(
    store: BlobStore, needed: Iterable[str], images: Iterable[str], now_s: float, old_s: float = MIN_AGE_S
) -> PrunePlan:
    """What nobody needs. ``needed``: digests of files that somebody reaches; ``images``: digests of images that somebody does.

    ``now_s``: seconds since 1970, against which ages count.
    """
    reached, known = set(needed), set(images)
    doomed: list[Removable] = []
    kept = 0
    kept_bytes = 0
    for file in _files(store.directory / "sha256"):
        if file.name not in reached and _old(file, now_s, old_s):
            doomed.append(_doomed(file, "unused"))
        else:
            kept += 1
            kept_bytes += _room(file)
    gone = {Path(each.path).name for each in doomed}
    stays = {file.name for file in _files(store.directory / "sha256")} - gone
    doomed += [
        _doomed(each, "put aside" if each.suffix == ".bad" else "left over")
        for each in _files(store.incoming)
        if _old(each, now_s, old_s) and not _held(store, each)
    ]
    doomed += [
        _doomed(each, "record of nothing")
        for each in _files(store.directory / "images")
        if each.stem not in known and _old(each, now_s, old_s) and not stays.intersection(_files_of(store, each.stem))
    ]
    return PrunePlan(
        removable=tuple(sorted(doomed, key=lambda each: (-each.bytes, each.path))), kept_files=kept, kept_bytes=kept_bytes
    )


def prune(store: BlobStore, pruning: PrunePlan) -> tuple[Removable, ...]:
    """Remove what may go, and say what went: not what changed since it was looked at, and not what somebody works on."""
    gone = []
    with store.exclusive():
        for each in pruning.removable:
            path = Path(each.path)
            if _ctime(path) == each.ctime_ns and not (path.parent == store.incoming and _held(store, path)):
                _remove(path)
                gone.append(each)
    return tuple(gone)


def _files_of(store: BlobStore, image: str) -> set[str]:
    """The digests of the files that an image is made of."""
    entry = Catalogue(store).get(image)
    return {blob.sha256 for blob in entry.blobs} if entry else set()


def _files(directory: Path) -> Iterator[Path]:
    try:
        yield from sorted(directory.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return


def _doomed(path: Path, why: PruneReason) -> Removable:
    return Removable(path=str(path), bytes=_room(path), why=why, ctime_ns=_ctime(path) or 0)


def _old(path: Path, now_s: float, old_s: float) -> bool:
    changed = _ctime(path)
    return changed is not None and now_s - changed / 1e9 > old_s


def _ctime(path: Path) -> int | None:
    """When anything of it last changed, its name included; None when it is gone."""
    try:
        return path.lstat().st_ctime_ns
    except FileNotFoundError:
        return None


def _room(path: Path) -> int:
    """What it takes on the disk; holes take nothing."""
    if path.is_dir() and not path.is_symlink():
        return sum(_room(each) for each in path.iterdir())
    try:
        return path.lstat().st_blocks * 512
    except FileNotFoundError:
        return 0


def _held(store: BlobStore, path: Path) -> bool:
    """Whether a run works on it: whoever writes to ``incoming/<name>.…`` holds the lock ``name``."""
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
