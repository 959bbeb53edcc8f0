"""Check a VMDK disk in one file (monolithicSparse, streamOptimized).

A VMDK contains a text descriptor that names its extents, and an extent may be any file or device of the host. So the descriptor
is parsed strictly: one extent, this file, no parent. Sources: VMware, "Virtual Disk Format 5.0"; QEMU's ``block/vmdk.c``.
"""

import re
import struct
from collections.abc import Iterator

from pragmaspec.frozen import Frozen
from pragmaspec.images.formats.random_access import RandomAccess

_SECTOR = 512
_HEADER = struct.Struct("<4sIIQQQQIQQQB4sH")
_MARKER, _IS_FOOTER = struct.Struct("<QII"), (0, 3)
"""A marker has a number, a size and a type; the footer's has size 0 and type 3."""
_NEWLINES = b"\n \r\n"
_AT_END = 2**64 - 1
"""Offset of the grain directory in a header that was written before the grains: the footer has the real one."""
_KNOWN_FLAGS = 1 << 0 | 1 << 1 | 1 << 2 | 1 << 16 | 1 << 17
_COMPRESSED = 1 << 16
_ENTRIES_OF_TABLE = 512
_MAX_DESCRIPTOR_SECTORS = 128
_MIN_GRAIN, _MAX_GRAIN = 8, 2**12
_LINE = re.compile(r"\s*(ddb\.[A-Za-z0-9_.]+(?=\s*=)|[A-Za-z0-9_.]+(?==))\s*=\s*(.*?)\s*")
"""Only keys of the disk database may be followed by spaces; other readers refuse the rest."""
_EXTENT = re.compile(r"(RW|RDONLY)\s+(\d{1,15})\s+([A-Z]+)\s+\"([^\"]*)\"\s*(?:\d+)?\s*")
_ACCESS = re.compile(r"\s*(RW|RDONLY|NOACCESS)\s", re.IGNORECASE)
_TYPES = {"monolithicsparse", "streamoptimized"}


class _Header(Frozen, frozen=True):
    """The sparse extent header, with the specification's names; lengths in sectors."""

    magic: bytes
    version: int
    flags: int
    capacity: int
    grain_size: int
    descriptor_offset: int
    descriptor_size: int
    entries_of_table: int
    redundant_offset: int
    directory_offset: int
    overhead: int
    unclean: int
    newlines: bytes
    compression: int


def vmdk_size(disk: RandomAccess) -> int:
    """Return the size of the disk as seen by a guest, in bytes; 0 if the header is truncated."""
    header = _read(disk.read_at(0, _HEADER.size))
    return header.capacity * _SECTOR if header else 0


def vmdk_problems(disk: RandomAccess, max_virtual: int) -> Iterator[str]:
    """Yield every reason against a VMDK disk."""
    header = _read(disk.read_at(0, _HEADER.size))
    if header is None:
        yield "its VMDK header is truncated"
        return
    yield from _header_problems(header, max_virtual)
    if header.descriptor_offset != 1 or not 1 <= header.descriptor_size <= _MAX_DESCRIPTOR_SECTORS:
        yield "its descriptor does not follow its header"
        return
    text = disk.read_at(_SECTOR, header.descriptor_size * _SECTOR).split(b"\0")[0]
    yield from _descriptor_problems(text, header)
    last = header
    if header.directory_offset == _AT_END:
        yield from _footer_problems(disk, header)
        last = _read(disk.read_at(max(0, disk.size - 2 * _SECTOR), _HEADER.size)) or header
    if _MIN_GRAIN <= header.grain_size <= _MAX_GRAIN:
        tables = -(-header.capacity // (header.grain_size * _ENTRIES_OF_TABLE))
        if not 0 < last.directory_offset * _SECTOR <= disk.size - tables * 4:
            yield "its grain directory is not inside the file"


def _read(start: bytes) -> _Header | None:
    if len(start) < _HEADER.size:
        return None
    return _Header(**dict(zip(_Header.__struct_fields__, _HEADER.unpack(start), strict=True)))


def _header_problems(header: _Header, max_virtual: int) -> Iterator[str]:
    if not 1 <= header.version <= 3:  # noqa: PLR2004 - the versions there are
        yield f"VMDK version {header.version} is unknown"
    if header.flags & ~_KNOWN_FLAGS:
        yield f"it uses unknown features ({header.flags:#x})"
    if header.newlines != _NEWLINES:
        yield "its line ends were changed by a copy in text mode (as by ftp without binary mode)"
    if not 0 < header.capacity * _SECTOR <= max_virtual:
        yield f"its virtual size of {header.capacity * _SECTOR} bytes is not between 512 bytes and 2 TiB"
    power_of_two = header.grain_size & (header.grain_size - 1) == 0
    if not (_MIN_GRAIN <= header.grain_size <= _MAX_GRAIN and power_of_two) or header.entries_of_table != _ENTRIES_OF_TABLE:
        yield "its grains have a size outside the format"
    if header.compression not in {0, 1}:
        yield "its compression method is unknown"
    if header.unclean:
        yield "it was not closed properly; start and shut down its machine, then export it again"


def _descriptor_problems(text: bytes, header: _Header) -> Iterator[str]:
    try:
        lines = text.decode("ascii").splitlines()
    except UnicodeDecodeError:
        yield "its descriptor is not plain ASCII"
        return
    values: dict[str, str] = {}
    extents: list[str] = []
    for line in lines:
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if _ACCESS.match(line):
            extents.append(line.strip())
        elif (pair := _LINE.fullmatch(line)) is None:
            yield f"its descriptor has an unknown line: {line.strip()[:60]!r}"
        elif pair[1].lower() in values:
            yield f"its descriptor has {pair[1]} twice"
        else:
            values[pair[1].lower()] = pair[2].strip('"')
    yield from _value_problems(values, header)
    yield from _extent_problems(extents, header)


def _value_problems(values: dict[str, str], header: _Header) -> Iterator[str]:
    kind = values.get("createtype", "")
    if kind.lower() not in _TYPES:
        shown = repr(kind) if kind else "missing"
        yield f"its type is {shown}; only disks in one file are supported: monolithicSparse and streamOptimized"
    elif (kind.lower() == "streamoptimized") != bool(header.flags & _COMPRESSED):
        yield f"its descriptor has type {kind}, which contradicts its header"
    if values.get("parentcid", "ffffffff").lower() != "ffffffff" or "parentfilenamehint" in values:
        yield "it has a parent, so it is only a difference to another image; export a full disk"


def _extent_problems(extents: list[str], header: _Header) -> Iterator[str]:
    if len(extents) != 1:
        yield f"it has {len(extents)} extents; only disks in one file are supported"
        return
    extent = _EXTENT.fullmatch(extents[0])
    if extent is None or extent[3] != "SPARSE":
        yield "its extent is not sparse, so its data is in another file"
        return
    if any(letter in extent[4] for letter in '/\\:"') or extent[4] in {"", ".", ".."}:
        yield "its extent has a path, so it could be any file"
    if int(extent[2]) != header.capacity:
        yield f"its descriptor has {extent[2]} sectors, and its header {header.capacity}"


def _footer_problems(disk: RandomAccess, header: _Header) -> Iterator[str]:
    """Yield problems of the last three sectors of a stream: a marker, the header with the directory's offset, and zeros."""
    end = disk.read_at(max(0, disk.size - 3 * _SECTOR), 3 * _SECTOR)
    footer = _read(end[_SECTOR : _SECTOR + _HEADER.size]) if disk.size >= 4 * _SECTOR else None
    marker = _MARKER.unpack_from(end) if footer else ()
    if footer is None or marker[1:] != _IS_FOOTER or footer.magic != b"KDMV" or end[2 * _SECTOR :].strip(b"\0"):
        yield "it is truncated: its footer is missing"
        return
    if _without_offsets(footer) != _without_offsets(header):
        yield "its header and its footer contradict each other"


def _without_offsets(header: _Header) -> tuple[int, ...]:
    return (header.version, header.flags, header.capacity, header.grain_size, header.descriptor_offset, header.descriptor_size,
            header.entries_of_table, header.compression)  # fmt: skip
