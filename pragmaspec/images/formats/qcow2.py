"""Check the header of a qcow2 file.

A qcow2 file may name other files of the host (a backing file, an external data file), which ``qemu-img info`` follows. Only plain
features are accepted here. Source: QEMU's ``docs/interop/qcow2.txt``.
"""

import struct
from collections.abc import Iterator

from pragmaspec.frozen import Frozen

QCOW2_MAGIC = b"QFI\xfb"
_SECTOR = 512
_VERSION_2, _VERSION_3 = 2, 3
_HEADER_BYTES = {_VERSION_2: 72, _VERSION_3: 104}
_MAX_HEADER_BYTES = 4096
_MIN_CLUSTER_BITS, _MAX_CLUSTER_BITS = 9, 21
_MAX_REFCOUNT_ORDER = 6
_MAX_L1_ENTRIES = 4 * 2**20
_MAX_TABLE_BYTES = 32 * 2**20
_MAX_EXTENSIONS = 64

_DIRTY, _CORRUPT, _EXTERNAL_DATA, _COMPRESSION_TYPE, _EXTENDED_L2 = (1 << bit for bit in range(5))
_RAW_EXTERNAL = 1 << 1
"""The autoclear bit for an external data file that is a raw disk."""
_COMPRESSION_TYPE_AT = 104
_BACKING_FORMAT, _DATA_FILE, _FEATURE_NAMES, _BITMAPS = 0xE2792ACA, 0x44415441, 0x6803F857, 0x23852875


class _Header(Frozen, frozen=True):
    """The header, with the specification's names; version 2 has the defaults that the specification gives for it."""

    version: int
    backing_file_offset: int
    backing_file_size: int
    cluster_bits: int
    size: int
    crypt_method: int
    l1_size: int
    l1_table_offset: int
    refcount_table_offset: int
    refcount_table_clusters: int
    nb_snapshots: int
    incompatible: int = 0
    autoclear: int = 0
    refcount_order: int = 4
    header_length: int = 72

    @property
    def cluster(self) -> int:
        """Size of a cluster in bytes."""
        return 1 << self.cluster_bits


def virtual_size(head: bytes) -> int:
    """Return the size of the disk as seen by a guest, in bytes; 0 if the header is truncated."""
    return int(struct.unpack_from(">Q", head.ljust(32, b"\0"), 24)[0])


def qcow2_problems(head: bytes, size: int, max_virtual: int) -> Iterator[str]:
    """Yield every reason against a qcow2 file of ``size`` bytes that begins with ``head`` (its first MiB, or all of it)."""
    header = _read(head)
    if header is None:
        yield "its qcow2 header is truncated, or of an unknown version"
        return
    yield from _reference_problems(header)
    if not 0 < header.size <= max_virtual or header.size % _SECTOR:
        yield f"its virtual size of {header.size} bytes is not between 512 bytes and 2 TiB in whole sectors"
    if not _MIN_CLUSTER_BITS <= header.cluster_bits <= _MAX_CLUSTER_BITS:
        yield f"clusters of 2^{header.cluster_bits} bytes are outside the format"
        return
    yield from _feature_problems(head, header)
    yield from _table_problems(header, size)
    yield from _extension_problems(head, header)


def _read(head: bytes) -> _Header | None:
    if len(head) < _HEADER_BYTES[_VERSION_2]:
        return None
    fields = struct.unpack_from(">IQIIQIIQQII", head, 4)
    version = fields[0]
    if len(head) < _HEADER_BYTES.get(version, len(head) + 1):
        return None
    newer = struct.unpack_from(">QQQII", head, 72) if version == _VERSION_3 else (0, 0, 0, 4, 72)
    names = _Header.__struct_fields__
    newer = (newer[0], *newer[2:])  # without the compatible features, which may be ignored
    return _Header(**dict(zip(names, (*fields, *newer), strict=True)))


def _reference_problems(header: _Header) -> Iterator[str]:
    if header.backing_file_offset or header.backing_file_size:
        yield "it has a backing file, so it is only a difference to another image; merge them (qemu-img convert -O qcow2)"
    if header.incompatible & _EXTERNAL_DATA or header.autoclear & _RAW_EXTERNAL:
        yield "its data is in another file"
    if header.crypt_method:
        yield "it is encrypted"
    if header.nb_snapshots:
        yield "it has internal snapshots; remove them (qemu-img snapshot -d)"


def _feature_problems(head: bytes, header: _Header) -> Iterator[str]:
    if header.incompatible & _CORRUPT:
        yield "it is marked corrupt; repair it (qemu-img check -r all)"
    if header.incompatible & ~(_DIRTY | _CORRUPT | _EXTERNAL_DATA | _COMPRESSION_TYPE | _EXTENDED_L2):
        yield f"it uses unknown features ({header.incompatible:#x})"
    if header.refcount_order > _MAX_REFCOUNT_ORDER:
        yield f"reference counts of 2^{header.refcount_order} bits are outside the format"
    least = _HEADER_BYTES[header.version]
    if not least <= header.header_length <= min(_MAX_HEADER_BYTES, header.cluster) or header.header_length % 8:
        yield f"a header of {header.header_length} bytes is outside the format"
    elif header.incompatible & _COMPRESSION_TYPE and (
        header.header_length <= _COMPRESSION_TYPE_AT
        or head[_COMPRESSION_TYPE_AT : _COMPRESSION_TYPE_AT + 1] not in {b"\0", b"\1"}
    ):
        yield "its compression method is unknown"


def _table_problems(header: _Header, size: int) -> Iterator[str]:
    """The two root tables must be inside the file and have the right size for the disk."""
    entry_bytes = 16 if header.incompatible & _EXTENDED_L2 else 8
    covered = header.cluster * (header.cluster // entry_bytes)
    if not -(-header.size // covered) <= header.l1_size <= _MAX_L1_ENTRIES:
        yield f"its L1 table has {header.l1_size} entries, which does not fit its virtual size"
    tables = (
        ("L1", header.l1_table_offset, header.l1_size * 8),
        ("reference count", header.refcount_table_offset, header.refcount_table_clusters * header.cluster),
    )
    for name, offset, length in tables:
        inside = header.cluster <= offset and offset % header.cluster == 0 and offset + length <= size
        if not inside or not 0 < length <= _MAX_TABLE_BYTES:
            yield f"its {name} table is not inside the file"


def _extension_problems(head: bytes, header: _Header) -> Iterator[str]:
    at, end = header.header_length, min(header.cluster, len(head))
    for _ in range(_MAX_EXTENSIONS):
        if at + 8 > end:
            break
        kind, length = struct.unpack_from(">II", head, at)
        if kind == 0:
            return
        if kind == _DATA_FILE:
            yield "it names another file for its data"
        elif kind == _BACKING_FORMAT:
            yield "it names the format of a backing file"
        elif kind not in {_FEATURE_NAMES, _BITMAPS}:
            yield f"its header has an unknown extension ({kind:#x})"
            return
        at += 8 + -(-length // 8) * 8
    if at > end or at + 8 <= end:
        yield "its header extensions do not end inside the first cluster"
