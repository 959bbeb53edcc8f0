"""A disk in memory that guarantees no more than POSIX: it can fail at any call, and yields every image that a crash may leave.

Writes are lost unless their file was synced: any of their 512-byte sectors may be present or absent, in any combination. A name
that was created, renamed or removed is as before unless its directory was synced, each independently.
"""

import errno
import os
from collections.abc import Callable, Iterator
from itertools import chain, combinations
from pathlib import Path
from random import Random

from pragmaspec.state.backends.local.disk import FileStamp, StateDisk

SECTOR = 512
MAX_EXHAUSTIVE = 12
"""Up to this number of changes that a crash may lose, every combination is tried; beyond it, a selection."""


class Inode:
    """A file. ``pending`` are the writes since the last sync, by sector: offset and data; data None sets the length."""

    def __init__(self, number: int, content: bytes = b"") -> None:
        self.number = number
        self.synced = content
        self.content = bytearray(content)
        self.pending: list[tuple[int, bytes | None]] = []
        self.changed = number
        self.poisoned = False


class Change:
    """A change of a directory that is not durable yet: a name to remove, and a name to add."""

    def __init__(self, folder: Path, gone: Path | None, new: Path | None, inode: Inode | None) -> None:
        self.folder, self.gone, self.new, self.inode = folder, gone, new, inode

    def apply(self, names: dict[Path, Inode | None]) -> None:
        if self.gone is not None:
            names.pop(self.gone, None)
        if self.new is not None:
            names[self.new] = self.inode


class MemoryDisk(StateDisk):
    """``before(call, path)`` runs before each call that changes something, and may raise OSError; ``after`` runs after it."""

    def __init__(
        self,
        files: dict[Path, bytes | None] | None = None,
        before: Callable[[str, Path], None] = lambda call, path: None,
        after: Callable[[str, Path], None] = lambda call, path: None,
    ) -> None:
        self.before, self.after = before, after
        self._clock = 0
        self._names: dict[Path, Inode | None] = {Path("/"): None}  # None: a directory
        for path, content in (files or {}).items():
            self._names[path] = None if content is None else Inode(self._tick(), content)
        self._durable = dict(self._names)
        self._changes: list[Change] = []
        self._open: dict[int, tuple[Path, Inode]] = {}
        self._locks: set[Inode] = set()

    # Operations of a store.

    def read(self, path: Path) -> bytes:
        return bytes(self._file(path).content)

    def listdir(self, folder: Path) -> list[str]:
        if folder not in self._names:
            raise _error(errno.ENOENT, folder)
        return [path.name for path in self._names if path.parent == folder and path != folder]

    def stamp(self, path: Path) -> FileStamp | None:
        inode = self._names.get(path)
        return FileStamp(inode.number, inode.changed, len(inode.content)) if inode else None

    def mkdir(self, folder: Path) -> bool:
        if folder in self._names:
            return False
        if folder.parent not in self._names:
            raise _error(errno.ENOENT, folder)
        self._change("mkdir", folder, None, folder, None)
        return True

    def create(self, path: Path, mode: int = 0o600) -> int:
        if path.parent not in self._names:
            raise _error(errno.ENOENT, path)
        if path in self._names:
            raise _error(errno.EEXIST, path)
        inode = Inode(self._tick())
        self._change("create", path, None, path, inode)
        return self._opened(path, inode)

    def pwrite(self, handle: int, data: bytes | memoryview, offset: int) -> int:
        path, inode = self._open[handle]
        written = bytes(data)
        try:
            self.before("pwrite", path)
        except OSError:
            self._write(inode, offset, written[: len(written) // 2])  # a part was written before the error
            raise
        self._write(inode, offset, written)
        self.after("pwrite", path)
        return len(written)

    def fallocate(self, handle: int, size: int) -> None:
        path, inode = self._open[handle]
        self.before("fallocate", path)
        if size > len(inode.content):
            inode.content.extend(bytes(size - len(inode.content)))
            inode.pending.append((size, None))
        self.after("fallocate", path)

    def fdatasync(self, handle: int) -> None:
        self._sync("fdatasync", handle)

    def fsync(self, handle: int) -> None:
        self._sync("fsync", handle)

    def close(self, handle: int) -> None:
        _, inode = self._open.pop(handle)
        self._locks.discard(inode)

    def rename(self, old: Path, new: Path) -> None:
        self._change("rename", old, old, new, self._file(old))

    def link(self, existing: Path, new: Path) -> None:
        if new in self._names:
            raise _error(errno.EEXIST, new)
        self._change("link", new, None, new, self._file(existing))

    def unlink(self, path: Path) -> None:
        self._file(path)
        self._change("unlink", path, path, None, None)

    def rmdir(self, folder: Path) -> None:
        if self.listdir(folder):
            raise _error(errno.ENOTEMPTY, folder)
        self._change("rmdir", folder, folder, None, None)

    def fsync_directory(self, folder: Path) -> None:
        self.before("fsync_directory", folder)
        for change in self._changes:
            if change.folder == folder:
                change.apply(self._durable)
        self._changes = [change for change in self._changes if change.folder != folder]
        self.after("fsync_directory", folder)

    def flock(self, path: Path) -> int:
        inode = self._names.get(path)
        if inode is None:
            inode = Inode(self._tick())
            self._change("create", path, None, path, inode)
        if inode in self._locks:
            raise BlockingIOError(errno.EWOULDBLOCK, os.strerror(errno.EWOULDBLOCK), str(path))
        self._locks.add(inode)
        return self._opened(path, inode)

    def same_file(self, handle: int, path: Path) -> bool:
        return self._names.get(path) is self._open[handle][1]

    def truncate(self, handle: int) -> None:
        inode = self._open[handle][1]
        inode.content.clear()
        inode.pending = [(0, None)]
        inode.synced = b""

    def unsafe_reason(self, folder: Path) -> str:
        return ""

    def warnings(self, folder: Path) -> tuple[str, ...]:
        return ()

    # Operations of a test.

    def now(self) -> dict[Path, bytes | None]:
        """Return all files as a running process sees them."""
        return {path: bytes(inode.content) if inode else None for path, inode in self._names.items()}

    def images(self, random: Random | None = None) -> Iterator[dict[Path, bytes | None]]:
        """Yield what a crash now may leave: every combination, or a selection if there are too many."""
        lossy = [*self._changes, *((inode, write) for inode in self._unsynced() for write in inode.pending)]
        seen: set[int] = set()
        for kept in _subsets(len(lossy), random or Random(0)):  # noqa: S311 - chance, not secrets
            image = self._image([lossy[at] for at in kept])
            found = hash(frozenset(image.items()))
            if found not in seen:
                seen.add(found)
                yield image

    def crashed(self, random: Random) -> "MemoryDisk":
        """Return a disk with one of the images, chosen by ``random``."""
        lossy = [*self._changes, *((inode, write) for inode in self._unsynced() for write in inode.pending)]
        share = random.random()
        return MemoryDisk(self._image([thing for thing in lossy if random.random() < share]))

    def damage(self, path: Path, content: bytes) -> None:
        """Change the content of a file without a store operation."""
        self._file(path).content[:] = content
        self._file(path).changed = self._tick()

    def _image(self, kept: list[Change | tuple[Inode, tuple[int, bytes | None]]]) -> dict[Path, bytes | None]:
        names, contents = dict(self._durable), {}
        for thing in kept:
            if isinstance(thing, Change):
                thing.apply(names)
            else:
                inode, (offset, data) = thing
                content = contents.setdefault(inode, bytearray(inode.synced))
                _put(content, offset, data)
        # The content of a directory whose own name was lost is lost with it.
        return {
            path: (bytes(contents.get(inode, inode.synced)) if inode else None)
            for path, inode in names.items()
            if all(parent in names for parent in path.parents)
        }

    def _unsynced(self) -> list[Inode]:
        named = chain(self._names.values(), self._durable.values(), (change.inode for change in self._changes))
        return list(dict.fromkeys(inode for inode in named if inode and inode.pending))

    def _file(self, path: Path) -> Inode:
        inode = self._names.get(path)
        if inode is None:
            raise _error(errno.EISDIR if path in self._names else errno.ENOENT, path)
        return inode

    def _opened(self, path: Path, inode: Inode) -> int:
        handle = self._tick()
        self._open[handle] = (path, inode)
        return handle

    def _change(self, call: str, path: Path, gone: Path | None, new: Path | None, inode: Inode | None) -> None:
        self.before(call, path)
        change = Change((new or gone or path).parent, gone, new, inode)
        change.apply(self._names)
        self._changes.append(change)
        self.after(call, path)

    def _write(self, inode: Inode, offset: int, data: bytes) -> None:
        _put(inode.content, offset, data)
        inode.changed = self._tick()
        while data:
            room = SECTOR - offset % SECTOR
            inode.pending.append((offset, data[:room]))
            offset, data = offset + room, data[room:]

    def _sync(self, call: str, handle: int) -> None:
        path, inode = self._open[handle]
        assert not inode.poisoned, f"{call} of {path} after a failed one: the lost pages would be taken for durable"
        try:
            self.before(call, path)
        except OSError:
            inode.poisoned = True
            raise
        inode.synced = bytes(inode.content)
        inode.pending = []
        self.after(call, path)

    def _tick(self) -> int:
        self._clock += 1
        return self._clock


def _put(content: bytearray, offset: int, data: bytes | None) -> None:
    end = offset if data is None else offset + len(data)
    if end > len(content):
        content.extend(bytes(end - len(content)))
    if data is not None:
        content[offset:end] = data


def _subsets(count: int, random: Random) -> Iterator[tuple[int, ...]]:
    everything = range(count)
    if count <= MAX_EXHAUSTIVE:
        yield from chain.from_iterable(combinations(everything, size) for size in range(count + 1))
        return
    for at in range(count + 1):
        yield tuple(range(at))
        yield tuple(range(at, count))
        yield tuple(other for other in everything if other != at)
    for _ in range(200):
        share = random.random()
        yield tuple(at for at in everything if random.random() < share)


def _error(number: int, path: Path) -> OSError:
    return OSError(number, os.strerror(number), str(path))
