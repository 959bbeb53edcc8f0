"""A Clonezilla directory inside an ISO image, as Clonezilla's recovery media and PRAGMA's cziso carry it.

Read without mounting: ECMA-119 with the names of Rock Ridge (IEEE P1282 ``NM``), which ``genisoimage`` and ``xorriso`` write. The
directory lies in ``/home/partimag/<name>`` on such media, and is looked for by what it holds.
"""

import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pragmaspec.errors import ImageError
from pragmaspec.frozen import Frozen
from pragmaspec.images.transfer.cached_folder import (
    CHUNK_BYTES,
    CachedFolder,
    LocalReadableFolder,
    ReadableFolder,
    missing_file_error,
)
from pragmaspec.images.transfer.http import MAX_SMALL_BYTES

SECTOR = 2048
_FIRST_DESCRIPTOR = 16
_MOST_DIRECTORY_BYTES = 2**22
_MOST_DEPTH = 4
_DIRECTORY, _CONTINUED = 0x02, 0x80
_SIGNS = {"parts", "disk"}
"""A folder that has both is one of Clonezilla's."""


class IsoEntry(Frozen, frozen=True):
    """A file or folder: where its bytes are, in bytes from the beginning of the image. Large files have several stretches."""

    name: str
    folder: bool
    stretches: tuple[tuple[int, int], ...]

    @property
    def size(self) -> int:
        """Its length in bytes."""
        return sum(length for _, length in self.stretches)


class IsoFolder:
    """One folder of an ISO image that is open as ``handle``."""

    def __init__(self, handle: int, entries: dict[str, IsoEntry]) -> None:
        self._handle = handle
        self._entries = entries

    def names(self) -> tuple[str, ...]:
        """See :class:`pragmaspec.images.transfer.cached_folder.ReadableFolder`."""
        return tuple(sorted(name for name, entry in self._entries.items() if not entry.folder))

    def read_small(self, name: str) -> bytes | None:
        """See :class:`pragmaspec.images.transfer.cached_folder.ReadableFolder`."""
        if name not in self._entries:
            return None
        if self.size(name) > MAX_SMALL_BYTES:
            raise _damaged(f"{name} has more than {MAX_SMALL_BYTES // 2**20} MiB, and a short file was expected")
        return b"".join(self.chunks(name))

    def size(self, name: str) -> int:
        """See :class:`pragmaspec.images.transfer.cached_folder.ReadableFolder`."""
        if name not in self._entries:
            raise missing_file_error(name)
        return self._entries[name].size

    def chunks(self, name: str) -> Iterator[bytes]:
        """See :class:`pragmaspec.images.transfer.cached_folder.ReadableFolder`."""
        self.size(name)
        for start, length in self._entries[name].stretches:
            for at in range(0, length, CHUNK_BYTES):
                yield _at(self._handle, start + at, min(CHUNK_BYTES, length - at))


@contextmanager
def open_iso(folder: ReadableFolder, name: str) -> Iterator[IsoFolder]:
    """The Clonezilla directory in the ISO image ``name`` of ``folder``. Raises ImageError when there is not exactly one."""
    if not isinstance(folder, LocalReadableFolder | CachedFolder):
        raise TypeError("an ISO image is read from a file")
    file = folder.path(name)
    try:
        handle = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        raise missing_file_error(str(file)) from None
    try:
        yield IsoFolder(handle, _clonezilla_folder(handle, file))
    finally:
        os.close(handle)


def _clonezilla_folder(handle: int, file: Path) -> dict[str, IsoEntry]:
    descriptor = _at(handle, _FIRST_DESCRIPTOR * SECTOR, SECTOR)
    if descriptor[:6] != b"\x01CD001":
        raise _damaged(f"{file.name} is not an ISO image")
    root = _entry(descriptor[156:190], "")
    found: list[dict[str, IsoEntry]] = []
    folders, seen = [(root, 0)], set()
    while folders:
        folder, depth = folders.pop()
        if folder.stretches in seen:  # a folder that holds itself
            continue
        seen.add(folder.stretches)
        entries = _entries(handle, folder)
        if entries.keys() >= _SIGNS:
            found.append(entries)
        elif depth < _MOST_DEPTH:
            folders += [(entry, depth + 1) for entry in entries.values() if entry.folder]
    if len(found) != 1:
        raise _damaged(f"{file.name} holds {len(found) or 'no'} directories of Clonezilla, and an image is one")
    return found[0]


def _entries(handle: int, folder: IsoEntry) -> dict[str, IsoEntry]:
    """What is in a folder, by name."""
    ((start, length),) = folder.stretches
    if length > _MOST_DIRECTORY_BYTES:
        raise _damaged("it has a folder of unreasonable size")
    content = _at(handle, start, length)
    found: dict[str, IsoEntry] = {}
    at, continued = 0, False
    while at < length:
        size = content[at]
        if size == 0:  # records do not cross sectors
            at = (at // SECTOR + 1) * SECTOR
            continue
        record = content[at : at + size]
        at += size
        if len(record) < 34 or record[33:34] in {b"\0", b"\1"}:  # noqa: PLR2004 - the fixed part; itself and its parent
            continue
        name = _name(record)
        entry = _entry(record, name)
        if continued and name in found:
            entry = IsoEntry(name=name, folder=False, stretches=(*found[name].stretches, *entry.stretches))
        found[name] = entry
        continued = bool(record[25] & _CONTINUED)
    return found


def _entry(record: bytes, name: str) -> IsoEntry:
    if len(record) < 34:  # noqa: PLR2004 - the fixed part of a record
        raise _damaged("a record of it is cut off")
    block, length = struct.unpack_from("<I4xI", record, 2)
    return IsoEntry(name=name, folder=bool(record[25] & _DIRECTORY), stretches=((block * SECTOR, length),))


def _name(record: bytes) -> str:
    """The Rock Ridge name where there is one, else the plain one without its version."""
    plain = record[33 : 33 + record[32]]
    at, name = 33 + record[32] + (1 - record[32] % 2), b""
    while at + 5 <= len(record):
        kind, length = record[at : at + 2], record[at + 2]
        if length < 4:  # noqa: PLR2004 - kind, length, version
            break
        if kind == b"NM":
            name += record[at + 5 : at + length]
        at += length
    return (name or plain.partition(b";")[0].rstrip(b".").lower()).decode(errors="replace")


def _at(handle: int, start: int, length: int) -> bytes:
    content = os.pread(handle, length, start)
    if len(content) < length:
        raise _damaged("it breaks off before its end")
    return content


def _damaged(why: str) -> ImageError:
    return ImageError("Clonezilla image refused", f"The ISO image cannot be read: {why}.")
