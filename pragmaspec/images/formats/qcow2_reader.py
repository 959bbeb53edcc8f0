"""Random access to the guest's disk in a qcow2 file, to read partition tables and boot files without unpacking the disk.

Only for files that :mod:`pragmaspec.images.formats.inspect` has accepted: no backing file, no external data, no encryption. A
cluster that cannot be decoded reads as zeros; damage is found by `qemu-img check`. Source: QEMU's ``docs/interop/qcow2.txt``.
"""

import struct
import zlib
from collections import OrderedDict

from pragmaspec.images.formats.inspect import read_disk_header
from pragmaspec.images.formats.random_access import RandomAccess
from pragmaspec.typing import override

_OFFSET = 0x00FFFFFFFFFFFE00
_COMPRESSED = 1 << 62
_ZERO = 1
_COMPRESSION_TYPE_BIT, _EXTENDED_L2_BIT = 1 << 3, 1 << 4
_COMPRESSION_TYPE_AT, _ZSTD = 104, 1
_SECTOR = 512
_SUBCLUSTERS = 32
_CACHED_CLUSTERS = 16


def guest_view(file: RandomAccess) -> RandomAccess:
    """Return the disk as seen by a guest, in an inspected raw or qcow2 file."""
    return _Qcow2(file) if read_disk_header(file).format == "qcow2" else file


class _Qcow2(RandomAccess):
    """The guest's bytes of a qcow2 file."""

    def __init__(self, file: RandomAccess) -> None:
        self._file = file
        self._size = read_disk_header(file).virtual_size_bytes
        head = file.read_at(0, _COMPRESSION_TYPE_AT + 1)
        version, bits = struct.unpack_from(">I12xI", head, 4)
        self._bits = bits
        self._cluster = 1 << bits
        (self._l1_at,) = struct.unpack_from(">Q", head, 40)
        incompatible = struct.unpack_from(">Q", head, 72)[0] if version > 2 else 0  # noqa: PLR2004 - as in the format
        self._entry_bytes = 16 if incompatible & _EXTENDED_L2_BIT else 8
        self._zstd = bool(incompatible & _COMPRESSION_TYPE_BIT) and head[_COMPRESSION_TYPE_AT] == _ZSTD
        self._cache: OrderedDict[int, bytes] = OrderedDict()

    @property
    @override
    def size(self) -> int:
        return self._size

    @override
    def read_at(self, offset: int, length: int) -> bytes:
        length = min(length, max(0, self.size - offset))
        found = bytearray()
        while len(found) < length:
            number, inside = divmod(offset + len(found), self._cluster)
            found += self._content(number)[inside : inside + length - len(found)]
        return bytes(found)

    def _content(self, number: int) -> bytes:
        if number not in self._cache:
            self._cache[number] = self._read(number)
            if len(self._cache) > _CACHED_CLUSTERS:
                self._cache.popitem(last=False)
        return self._cache[number]

    def _read(self, number: int) -> bytes:
        table, entry = divmod(number, self._cluster // self._entry_bytes)
        l2_at = self._number(self._l1_at + 8 * table) & _OFFSET
        if not l2_at:
            return bytes(self._cluster)
        at = l2_at + self._entry_bytes * entry
        where = self._number(at)
        if where & _COMPRESSED:
            return self._decompressed(where)
        if self._entry_bytes == 8 and where & _ZERO:  # noqa: PLR2004 - without subclusters
            return bytes(self._cluster)
        if not where & _OFFSET:
            return bytes(self._cluster)
        content = self._file.read_at(where & _OFFSET, self._cluster).ljust(self._cluster, b"\0")
        return content if self._entry_bytes == 8 else self._allocated(content, self._number(at + 8))  # noqa: PLR2004 - as above

    def _allocated(self, content: bytes, bitmap: int) -> bytes:
        """Return ``content`` with those subclusters zeroed that are not data in ``bitmap``."""
        part = self._cluster // _SUBCLUSTERS
        return b"".join(
            content[index * part : (index + 1) * part] if bitmap >> index & 1 else bytes(part) for index in range(_SUBCLUSTERS)
        )

    def _decompressed(self, where: int) -> bytes:
        shift = 62 - (self._bits - 8)
        offset = where & ((1 << shift) - 1)
        sectors = (where & (_COMPRESSED - 1)) >> shift
        packed = self._file.read_at(offset, (sectors + 1) * _SECTOR - offset % _SECTOR)
        return (_zstd if self._zstd else _deflate)(packed, self._cluster).ljust(self._cluster, b"\0")

    def _number(self, at: int) -> int:
        return int.from_bytes(self._file.read_at(at, 8).ljust(8, b"\0"), "big")


def _deflate(packed: bytes, length: int) -> bytes:
    """Decompress up to ``length`` bytes; none if they are damaged."""
    try:
        return zlib.decompressobj(-15).decompress(packed, length)
    except zlib.error:
        return b""


def _zstd(packed: bytes, length: int) -> bytes:
    from pragmaspec.images.zstd import ZstdError, new_decoder  # noqa: PLC0415 - rarely needed

    try:
        return new_decoder().decompress(packed, length)
    except ZstdError:
        return b""
