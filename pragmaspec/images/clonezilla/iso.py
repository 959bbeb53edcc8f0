"""A Clonezilla directory in an ISO image, as on Clonezilla's recovery media and in PRAGMA's cziso, read without mounting.

Format: ECMA-119 with the names of Rock Ridge (IEEE P1282 ``NM``), as ``genisoimage`` and ``xorriso`` write it. On such media the
directory is ``/home/partimag/<name>``; here it is found by its content.

pycdlib is not used: opening an image builds its whole tree in memory, without limits (23 bytes per byte of a directory), and
damaged images raise struct.error and others besides its own exceptions.
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
from pragmaspec.typing import override

SECTOR_BYTES = 2048
_FIRST_DESCRIPTOR = 16
_MAX_DIRECTORY_BYTES = 2**22
_MAX_TOTAL_DIRECTORY_BYTES = 2**24
"""Of all directories together, so that directories which overlap cannot keep the search busy for days."""
_MAX_DEPTH = 4
_RECORD_BYTES = 34
"""The fixed part of a directory record, with a name of one byte."""
_FLAG_DIRECTORY, _FLAG_CONTINUED = 0x02, 0x80
_SELF, _PARENT = b"\0", b"\1"
_REQUIRED_FILES = {"parts", "disk"}
"""A folder with both is a Clonezilla directory."""


class IsoEntry(Frozen, frozen=True):
    """A file or directory. ``extents``: offset and length in bytes; large files have several."""

    name: str
    is_directory: bool
    extents: tuple[tuple[int, int], ...]

    @property
    def size(self) -> int:
        """Size in bytes."""
        return sum(length for _, length in self.extents)


class IsoFolder(ReadableFolder):
    """A directory of an ISO image that is open as ``handle``."""

    def __init__(self, handle: int, entries: dict[str, IsoEntry]) -> None:
        self._handle = handle
        self._entries = entries

    @override
    def names(self) -> tuple[str, ...]:
        return tuple(sorted(name for name, entry in self._entries.items() if not entry.is_directory))

    @override
    def read_small(self, name: str) -> bytes | None:
        if name not in self._entries:
            return None
        if self.size(name) > MAX_SMALL_BYTES:
            raise _rejected(f"{name} has more than {MAX_SMALL_BYTES // 2**20} MiB where a small file was expected")
        return b"".join(self.chunks(name))

    @override
    def size(self, name: str) -> int:
        if name not in self._entries:
            raise missing_file_error(name)
        return self._entries[name].size

    @override
    def chunks(self, name: str) -> Iterator[bytes]:
        if name not in self._entries:
            raise missing_file_error(name)
        for start, length in self._entries[name].extents:
            for offset in range(0, length, CHUNK_BYTES):
                yield _read(self._handle, start + offset, min(CHUNK_BYTES, length - offset))


@contextmanager
def open_iso(folder: LocalReadableFolder | CachedFolder, name: str) -> Iterator[IsoFolder]:
    """Open the Clonezilla directory in the ISO image ``name`` of ``folder``. Raises ImageError unless there is exactly one."""
    file = folder.path(name)
    try:
        handle = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        raise missing_file_error(str(file)) from None
    try:
        yield IsoFolder(handle, _find_clonezilla_directory(handle, file))
    finally:
        os.close(handle)


def _find_clonezilla_directory(handle: int, file: Path) -> dict[str, IsoEntry]:
    descriptor = _read(handle, _FIRST_DESCRIPTOR * SECTOR_BYTES, SECTOR_BYTES)
    if descriptor[:6] != b"\x01CD001":
        raise _rejected(f"{file.name} is not an ISO image")
    found: list[dict[str, IsoEntry]] = []
    pending, seen, total_bytes = [(_parse_record(descriptor[156:190], ""), 0)], set(), 0
    while pending:
        directory, depth = pending.pop()
        if directory.extents in seen:  # a loop
            continue
        seen.add(directory.extents)
        total_bytes += directory.size
        if directory.size > _MAX_DIRECTORY_BYTES or total_bytes > _MAX_TOTAL_DIRECTORY_BYTES:
            raise _rejected("its directories are unreasonably large")
        entries = _read_directory(handle, directory)
        if entries.keys() >= _REQUIRED_FILES:
            found.append(entries)
        elif depth < _MAX_DEPTH:
            pending += [(entry, depth + 1) for entry in entries.values() if entry.is_directory]
    if len(found) != 1:
        raise _rejected(f"{file.name} contains {len(found) or 'no'} Clonezilla directories, but exactly one is required")
    return found[0]


def _read_directory(handle: int, directory: IsoEntry) -> dict[str, IsoEntry]:
    """Return the entries of a directory by name."""
    ((start, length),) = directory.extents
    content = _read(handle, start, length)
    entries: dict[str, IsoEntry] = {}
    offset, is_continued = 0, False
    while offset < length:
        size = content[offset]
        if size == 0:  # records do not cross sectors
            offset = (offset // SECTOR_BYTES + 1) * SECTOR_BYTES
            continue
        record = content[offset : offset + size]
        offset += size
        if len(record) < _RECORD_BYTES or record[33:34] in {_SELF, _PARENT}:
            continue
        name = _rock_ridge_name(record)
        entry = _parse_record(record, name)
        if is_continued and name in entries:
            entry = IsoEntry(name=name, is_directory=False, extents=(*entries[name].extents, *entry.extents))
        entries[name] = entry
        is_continued = bool(record[25] & _FLAG_CONTINUED)
    return entries


def _parse_record(record: bytes, name: str) -> IsoEntry:
    if len(record) < _RECORD_BYTES:
        raise _rejected("a directory record is truncated")
    block, length = struct.unpack_from("<I4xI", record, 2)
    is_directory = bool(record[25] & _FLAG_DIRECTORY)
    return IsoEntry(name=name, is_directory=is_directory, extents=((block * SECTOR_BYTES, length),))


def _rock_ridge_name(record: bytes) -> str:
    """Return the Rock Ridge name, else the ISO name without its version."""
    iso_name = record[33 : 33 + record[32]]
    offset, name = 33 + record[32] + (1 - record[32] % 2), b""
    while offset + 5 <= len(record):
        kind, length = record[offset : offset + 2], record[offset + 2]
        if length < 4:  # noqa: PLR2004 - kind, length, version
            break
        if kind == b"NM":
            name += record[offset + 5 : offset + length]
        offset += length
    return (name or iso_name.partition(b";")[0].rstrip(b".").lower()).decode(errors="replace")


def _read(handle: int, offset: int, length: int) -> bytes:
    content = os.pread(handle, length, offset)
    if len(content) < length:
        raise _rejected("it is truncated")
    return content


def _rejected(reason: str) -> ImageError:
    return ImageError("Clonezilla image rejected", f"The ISO image cannot be read: {reason}.")
