"""The header of a qcow2 file, and everything in it that speaks against using the file.

A qcow2 file may name other files of the host (a backing file, an external data file); ``qemu-img info`` follows them. Here only
the plain features are let through. Source: QEMU's ``docs/interop/qcow2.txt``.
"""

import struct
from collections.abc import Iterator

from pragmaspec.frozen import Frozen

QCOW2_MAGIC = b"QFI\xfb"
_SECTOR = 512
_VERSION_2, _VERSION_3 = 2, 3
_HEADER_BYTES = {_VERSION_2: 72, _VERSION_3: 104}
_MOST_HEADER_BYTES = 4096
_LEAST_CLUSTER_BITS, _MOST_CLUSTER_BITS = 9, 21
_MOST_REFCOUNT_ORDER = 6
_MOST_L1_ENTRIES = 4 * 2**20
_MOST_TABLE_BYTES = 32 * 2**20
_MOST_EXTENSIONS = 64

_DIRTY, _CORRUPT, _EXTERNAL_DATA, _COMPRESSION_TYPE, _EXTENDED_L2 = (1 << bit for bit in range(5))
_RAW_EXTERNAL = 1 << 1
"""The autoclear bit of an external data file that can be read as a raw disk."""
_COMPRESSION_TYPE_AT = 104
_BACKING_FORMAT, _DATA_FILE, _FEATURE_NAMES, _BITMAPS = 0xE2792ACA, 0x44415441, 0x6803F857, 0x23852875


class _Header(Frozen, frozen=True):
    """The fields of the header, under the names of the format's description; those of version 3 as it defines them for 2."""

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
        """Bytes of a cluster."""
        return 1 << self.cluster_bits


def virtual_size(head: bytes) -> int:
    """The size of the disk that a guest sees, in bytes; 0 when the header is cut off."""
    return int(struct.unpack_from(">Q", head.ljust(32, b"\0"), 24)[0])


def qcow2_problems(head: bytes, size: int, most_virtual: int) -> Iterator[str]:
    """Every reason against the qcow2 file of ``size`` bytes that begins with ``head`` (its first MiB, or all of it)."""
    header = _read(head)
    if header is None:
        yield "its qcow2 header is cut off, or of a version that is not known"
        return
    yield from _against_references(header)
    if not 0 < header.size <= most_virtual or header.size % _SECTOR:
        yield f"its virtual size of {header.size} bytes is not one of 512 bytes to 2 TiB in whole sectors"
    if not _LEAST_CLUSTER_BITS <= header.cluster_bits <= _MOST_CLUSTER_BITS:
        yield f"clusters of 2^{header.cluster_bits} bytes are outside the format"
        return
    yield from _against_features(head, header)
    yield from _against_tables(header, size)
    yield from _against_extensions(head, header)


def _read(head: bytes) -> _Header | None:
    if len(head) < _HEADER_BYTES[_VERSION_2]:
        return None
    fields = struct.unpack_from(">IQIIQIIQQII", head, 4)
    version = fields[0]
    if len(head) < _HEADER_BYTES.get(version, len(head) + 1):
        return None
    newer = struct.unpack_from(">QQQII", head, 72) if version == _VERSION_3 else (0, 0, 0, 4, 72)
    names = _Header.__struct_fields__
    newer = (newer[0], *newer[2:])  # between them the compatible features, which may be ignored
    return _Header(**dict(zip(names, (*fields, *newer), strict=True)))


def _against_references(header: _Header) -> Iterator[str]:
    if header.backing_file_offset or header.backing_file_size:
        yield "it has a backing file: it is only the difference to another image; merge them (qemu-img convert -O qcow2)"
    if header.incompatible & _EXTERNAL_DATA or header.autoclear & _RAW_EXTERNAL:
        yield "its data stands in another file"
    if header.crypt_method:
        yield "it is encrypted"
    if header.nb_snapshots:
        yield "it holds internal snapshots; remove them (qemu-img snapshot -d)"


def _against_features(head: bytes, header: _Header) -> Iterator[str]:
    if header.incompatible & _CORRUPT:
        yield "it is marked corrupt; repair it (qemu-img check -r all)"
    if header.incompatible & ~(_DIRTY | _CORRUPT | _EXTERNAL_DATA | _COMPRESSION_TYPE | _EXTENDED_L2):
        yield f"it uses features that are not known ({header.incompatible:#x})"
    if header.refcount_order > _MOST_REFCOUNT_ORDER:
        yield f"reference counts of 2^{header.refcount_order} bits are outside the format"
    least = _HEADER_BYTES[header.version]
    if not least <= header.header_length <= min(_MOST_HEADER_BYTES, header.cluster) or header.header_length % 8:
        yield f"a header of {header.header_length} bytes is outside the format"
    elif header.incompatible & _COMPRESSION_TYPE and (
        header.header_length <= _COMPRESSION_TYPE_AT
        or head[_COMPRESSION_TYPE_AT : _COMPRESSION_TYPE_AT + 1] not in {b"\0", b"\1"}
    ):
        yield "its kind of compression is not known"


def _against_tables(header: _Header, size: int) -> Iterator[str]:
    """The two tables that everything else hangs from have to lie in the file and be as large as the disk asks for."""
    entry_bytes = 16 if header.incompatible & _EXTENDED_L2 else 8
    covered = header.cluster * (header.cluster // entry_bytes)
    if not -(-header.size // covered) <= header.l1_size <= _MOST_L1_ENTRIES:
        yield f"its first table has {header.l1_size} entries, which does not fit its size"
    tables = (
        ("first", header.l1_table_offset, header.l1_size * 8),
        ("reference count", header.refcount_table_offset, header.refcount_table_clusters * header.cluster),
    )
    for name, offset, length in tables:
        inside = header.cluster <= offset and offset % header.cluster == 0 and offset + length <= size
        if not inside or not 0 < length <= _MOST_TABLE_BYTES:
            yield f"its {name} table does not lie inside the file"


def _against_extensions(head: bytes, header: _Header) -> Iterator[str]:
    at, end = header.header_length, min(header.cluster, len(head))
    for _ in range(_MOST_EXTENSIONS):
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
            yield f"its header has an extension that is not known ({kind:#x})"
            return
        at += 8 + -(-length // 8) * 8
    if at > end or at + 8 <= end:
        yield "the extensions of its header do not end inside the first cluster"
