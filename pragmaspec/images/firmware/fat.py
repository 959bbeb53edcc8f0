"""Read directories and the first bytes of files in a FAT file system (FAT12, FAT16, FAT32), to find boot loaders.

All sizes are limited, because the disk is untrusted. Source: Microsoft, "FAT: General Overview of On-Disk Format", 1.03.
"""

import struct
from collections.abc import Iterator

from pragmaspec.frozen import Frozen
from pragmaspec.images.formats.random_access import RandomAccess

_SIZES = {512, 1024, 2048, 4096}
_DIRECTORY, _LABEL, _LONG_NAME = 0x10, 0x08, 0x0F
_ENTRY_BYTES = 32
_DELETED = 0xE5
_MAX_DIRECTORY_BYTES = 2**18
_MAX_FAT12, _MAX_FAT16 = 4085, 65525
_NAME_PARTS = ((1, 11), (14, 26), (28, 32))
"""Ranges of the parts of a long name in its own entry."""


class FatEntry(Frozen, frozen=True):
    """A file or directory; ``cluster``: the first of its content."""

    name: str
    directory: bool
    cluster: int
    size_bytes: int


class Fat:
    """A file system at ``offset`` of ``disk``. Use :func:`open_fat`."""

    def __init__(self, disk: RandomAccess, offset: int, sector: bytes) -> None:
        self._disk = disk
        self._offset = offset
        (bytes_, clustered, reserved, tables, roots, small, _, length16) = struct.unpack_from("<HBHBHHBH", sector, 11)
        (large, length32) = struct.unpack_from("<II", sector, 32)
        (root,) = struct.unpack_from("<I", sector, 44)
        self._cluster_bytes = bytes_ * clustered
        length = length16 or length32
        self._table_at = reserved * bytes_
        self._root_at = self._table_at + tables * length * bytes_
        self._root_bytes = roots * _ENTRY_BYTES
        self._data_at = self._root_at + -(-self._root_bytes // bytes_) * bytes_
        clusters = max(0, (small or large) * bytes_ - self._data_at) // self._cluster_bytes
        self._bits = 12 if clusters < _MAX_FAT12 else 16 if clusters < _MAX_FAT16 else 32
        self._root = root if self._bits == 32 else 0  # noqa: PLR2004 - FAT32
        self._clusters = clusters

    def find(self, *path: str) -> FatEntry | None:
        """Return the file or directory at ``path``, ignoring case; None if it does not exist."""
        entry = FatEntry(name="", directory=True, cluster=self._root, size_bytes=0)
        for name in path:
            inside = (each for each in self.entries(entry) if each.name.lower() == name.lower()) if entry.directory else iter(())
            found = next(inside, None)
            if found is None:
                return None
            entry = found
        return entry

    def entries(self, directory: FatEntry) -> Iterator[FatEntry]:
        """Yield the entries of ``directory`` without ``.`` and ``..``."""
        content, long = self._content(directory), ""
        for at in range(0, len(content) - _ENTRY_BYTES + 1, _ENTRY_BYTES):
            entry = content[at : at + _ENTRY_BYTES]
            if not entry[0]:
                return
            attributes = entry[11]
            if attributes & 0x3F == _LONG_NAME:
                part = b"".join(entry[start:end] for start, end in _NAME_PARTS).decode("utf-16-le", errors="replace")
                long = part.split("\0")[0].rstrip("\uffff") + long
                continue
            name, long = long or _short(entry), ""
            if entry[0] != _DELETED and not attributes & _LABEL and name not in {".", ".."}:
                high, low, size = struct.unpack_from("<20xH4xHI", entry, 0)
                yield FatEntry(name=name, directory=bool(attributes & _DIRECTORY), cluster=high << 16 | low, size_bytes=size)

    def read_start(self, entry: FatEntry, length: int) -> bytes:
        """Return up to ``length`` bytes of the first cluster of a file."""
        return self._cluster(entry.cluster)[: min(length, entry.size_bytes)]

    def _content(self, directory: FatEntry) -> bytes:
        if not directory.cluster:
            return self._disk.read_at(self._offset + self._root_at, min(self._root_bytes, _MAX_DIRECTORY_BYTES))
        found, cluster, seen = bytearray(), directory.cluster, set[int]()
        while 2 <= cluster < self._clusters + 2 and cluster not in seen and len(found) < _MAX_DIRECTORY_BYTES:  # noqa: PLR2004 - the first is 2
            seen.add(cluster)
            found += self._cluster(cluster)
            cluster = self._next(cluster)
        return bytes(found)

    def _cluster(self, number: int) -> bytes:
        return self._disk.read_at(self._offset + self._data_at + (number - 2) * self._cluster_bytes, self._cluster_bytes)

    def _next(self, cluster: int) -> int:
        at = self._offset + self._table_at + cluster * self._bits // 8
        value = int.from_bytes(self._disk.read_at(at, 4).ljust(4, b"\0"), "little")
        if self._bits == 12:  # noqa: PLR2004 - one and a half bytes
            return value >> 4 & 0xFFF if cluster % 2 else value & 0xFFF
        return value & (0xFFFF if self._bits == 16 else 0x0FFFFFFF)  # noqa: PLR2004 - FAT16


def open_fat(disk: RandomAccess, offset: int) -> Fat | None:
    """Return the FAT file system at ``offset``, if any."""
    sector = disk.read_at(offset, 512)
    if len(sector) < 512 or sector[0] not in {0xEB, 0xE9} or sector[510:] != b"\x55\xaa":  # noqa: PLR2004 - a sector
        return None
    bytes_, clustered, reserved, tables, _, _, media = struct.unpack_from("<HBHBHHB", sector, 11)
    sound = bytes_ in _SIZES and clustered and not clustered & (clustered - 1) and reserved and tables in {1, 2}
    return Fat(disk, offset, sector) if sound and media >= 0xF0 else None  # noqa: PLR2004 - as in the format


def _short(entry: bytes) -> str:
    stem, ending = (part.decode("ascii", errors="replace").rstrip() for part in (entry[:8], entry[8:11]))
    return f"{stem}.{ending}" if ending else stem
