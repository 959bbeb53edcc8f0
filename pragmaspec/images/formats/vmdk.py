"""VMDK disks in one file (monolithicSparse, streamOptimized), and everything that speaks against one.

A VMDK carries a small text that names its extents, and an extent may be any file or device of the host. So the text is read to
the letter: one extent, this file, no parent. Source: VMware, "Virtual Disk Format 5.0"; QEMU's ``block/vmdk.c``.
"""

import re
import struct
from collections.abc import Iterator

from pragmaspec.frozen import Frozen
from pragmaspec.images.formats.random_access import RandomAccess

_SECTOR = 512
_HEADER = struct.Struct("<4sIIQQQQIQQQB4sH")
_MARKER, _IS_FOOTER = struct.Struct("<QII"), (0, 3)
"""What a marker says: a number, a size, a type; the footer's has no size and type 3."""
_NEWLINES = b"\n \r\n"
_AT_END = 2**64 - 1
"""The grain directory's place in a header that is written before the grains: the footer at the end tells it."""
_KNOWN_FLAGS = 1 << 0 | 1 << 1 | 1 << 2 | 1 << 16 | 1 << 17
_COMPRESSED = 1 << 16
_ENTRIES_OF_TABLE = 512
_MOST_DESCRIPTOR_SECTORS = 128
_LEAST_GRAIN, _MOST_GRAIN = 8, 2**12
_LINE = re.compile(r"\s*([A-Za-z0-9_.]+)\s*=\s*(.*?)\s*")
_EXTENT = re.compile(r"(RW|RDONLY)\s+(\d{1,15})\s+([A-Z]+)\s+\"([^\"]*)\"\s*(?:\d+)?\s*")
_ACCESS = re.compile(r"\s*(RW|RDONLY|NOACCESS)\s", re.IGNORECASE)
_TYPES = {"monolithicsparse", "streamoptimized"}


class _Header(Frozen, frozen=True):
    """The sparse extent header, under the names of the format's description; lengths in sectors."""

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


def vmdk_size(window: RandomAccess) -> int:
    """The size of the disk that a guest sees, in bytes; 0 when the header is cut off."""
    header = _read(window.at(0, _HEADER.size))
    return header.capacity * _SECTOR if header else 0


def vmdk_problems(window: RandomAccess, most_virtual: int) -> Iterator[str]:
    """Every reason against a VMDK disk."""
    header = _read(window.at(0, _HEADER.size))
    if header is None:
        yield "its VMDK header is cut off"
        return
    yield from _against_header(header, most_virtual)
    if header.descriptor_offset != 1 or not 1 <= header.descriptor_size <= _MOST_DESCRIPTOR_SECTORS:
        yield "its description does not stand right behind its header"
        return
    text = window.at(_SECTOR, header.descriptor_size * _SECTOR).split(b"\0")[0]
    yield from _against_description(text, header)
    last = header
    if header.directory_offset == _AT_END:
        yield from _against_footer(window, header)
        last = _read(window.at(max(0, window.size - 2 * _SECTOR), _HEADER.size)) or header
    if _LEAST_GRAIN <= header.grain_size <= _MOST_GRAIN:
        tables = -(-header.capacity // (header.grain_size * _ENTRIES_OF_TABLE))
        if not 0 < last.directory_offset * _SECTOR <= window.size - tables * 4:
            yield "its grain directory does not lie inside the file"


def _read(start: bytes) -> _Header | None:
    if len(start) < _HEADER.size:
        return None
    return _Header(**dict(zip(_Header.__struct_fields__, _HEADER.unpack(start), strict=True)))


def _against_header(header: _Header, most_virtual: int) -> Iterator[str]:
    if not 1 <= header.version <= 3:  # noqa: PLR2004 - the versions there are
        yield f"VMDK version {header.version} is not known"
    if header.flags & ~_KNOWN_FLAGS:
        yield f"it uses features that are not known ({header.flags:#x})"
    if header.newlines != _NEWLINES:
        yield "its line ends were changed: it was copied as a text (ftp without binary mode does that)"
    if not 0 < header.capacity * _SECTOR <= most_virtual:
        yield f"its virtual size of {header.capacity * _SECTOR} bytes is not one of 512 bytes to 2 TiB"
    power_of_two = header.grain_size & (header.grain_size - 1) == 0
    if not (_LEAST_GRAIN <= header.grain_size <= _MOST_GRAIN and power_of_two) or header.entries_of_table != _ENTRIES_OF_TABLE:
        yield "its grains have a size outside the format"
    if header.compression not in {0, 1}:
        yield "its kind of compression is not known"
    if header.unclean:
        yield "it was not closed properly; start and shut down the machine it comes from, then export it again"


def _against_description(text: bytes, header: _Header) -> Iterator[str]:
    try:
        lines = text.decode("ascii").splitlines()
    except UnicodeDecodeError:
        yield "its description is not plain ASCII"
        return
    values: dict[str, str] = {}
    extents: list[str] = []
    for line in lines:
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if _ACCESS.match(line):
            extents.append(line.strip())
        elif (pair := _LINE.fullmatch(line)) is None:
            yield f"its description has a line that is not known: {line.strip()[:60]!r}"
        elif pair[1].lower() in values:
            yield f"its description says {pair[1]} twice"
        else:
            values[pair[1].lower()] = pair[2].strip('"')
    yield from _against_values(values, header)
    yield from _against_extents(extents, header)


def _against_values(values: dict[str, str], header: _Header) -> Iterator[str]:
    kind = values.get("createtype", "")
    if kind.lower() not in _TYPES:
        told = repr(kind) if kind else "not given"
        yield f"its type is {told}; only disks in one file are read: monolithicSparse and streamOptimized"
    elif (kind.lower() == "streamoptimized") != bool(header.flags & _COMPRESSED):
        yield f"it calls itself {kind}, and its header says otherwise"
    if values.get("parentcid", "ffffffff").lower() != "ffffffff" or "parentfilenamehint" in values:
        yield "it has a parent: it is only the difference to another image; export a full disk"


def _against_extents(extents: list[str], header: _Header) -> Iterator[str]:
    if len(extents) != 1:
        yield f"it has {len(extents)} extents; only disks in one file are read"
        return
    extent = _EXTENT.fullmatch(extents[0])
    if extent is None or extent[3] != "SPARSE":
        yield "its extent is not a sparse one: the data stands in another file"
        return
    if any(letter in extent[4] for letter in '/\\:"') or extent[4] in {"", ".", ".."}:
        yield "its extent is named by a path, so it could be any file"
    if int(extent[2]) != header.capacity:
        yield f"its description speaks of {extent[2]} sectors, and its header of {header.capacity}"


def _against_footer(window: RandomAccess, header: _Header) -> Iterator[str]:
    """The last three sectors of a stream: a marker, the header again with the directory's place, and an end of zeros."""
    end = window.at(max(0, window.size - 3 * _SECTOR), 3 * _SECTOR)
    footer = _read(end[_SECTOR : _SECTOR + _HEADER.size]) if window.size >= 4 * _SECTOR else None
    marker = _MARKER.unpack_from(end) if footer else ()
    if footer is None or marker[1:] != _IS_FOOTER or footer.magic != b"KDMV" or end[2 * _SECTOR :].strip(b"\0"):
        yield "its end is missing: the download or the export broke off"
        return
    if _without_places(footer) != _without_places(header):
        yield "its header and its footer contradict each other"


def _without_places(header: _Header) -> tuple[int, ...]:
    return (header.version, header.flags, header.capacity, header.grain_size, header.descriptor_offset, header.descriptor_size,
            header.entries_of_table, header.compression)  # fmt: skip
