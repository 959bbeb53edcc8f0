"""The disk in a zip archive, as a stream. Strict for the reasons that :mod:`pragmaspec.images.archives.tar` gives.

Read by our own code: the standard library's takes what a directory says on trust, and falls over some of it. Source: PKWARE,
APPNOTE.TXT 6.3.10, whose names the structures bear.
"""

import stat
import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

from pragmaspec.images.archives.members import MemberSelector, normal_path
from pragmaspec.images.formats.inspect import image_refused
from pragmaspec.images.formats.random_access import HEAD_BYTES, RandomAccess

_END, _END_MAGIC = struct.Struct("<4s4HIIH"), b"PK\x05\x06"
_END_64, _END_64_MAGIC = struct.Struct("<4sQHHIIQQQQ"), b"PK\x06\x06"
_LOCATOR, _LOCATOR_MAGIC = struct.Struct("<4sIQI"), b"PK\x06\x07"
_ENTRY, _ENTRY_MAGIC = struct.Struct("<4s6H3I5H2I"), b"PK\x01\x02"
_LOCAL, _LOCAL_MAGIC = struct.Struct("<4s5H3I2H"), b"PK\x03\x04"
_EXTRA, _EXTRA_64 = struct.Struct("<HH"), 1
_LARGE_16, _LARGE_32 = 0xFFFF, 0xFFFFFFFF
"""A number that does not fit its field, and stands in a 64-bit one elsewhere."""
_MOST_COMMENT = 65535
_MOST_MEMBERS, _MOST_NAMED_MEMBERS, _MOST_DIRECTORY_BYTES = 64, 4096, 2**20
"""The second number of files holds where the spec names the one that matters."""
_PIECE_BYTES = 2**20
_READ_BYTES = 64 * 1024
_ENCRYPTED = 1 << 0 | 1 << 6 | 1 << 13
_STORED, _DEFLATED = 0, 8
_UNIX_TYPE_SHIFT = 16


class _Directory(NamedTuple):
    """Where the directory of the archive stands, and how many members it has."""

    members: int
    length: int
    offset: int


class _Member(NamedTuple):
    """A member as the directory has it; ``packed`` and ``size`` in bytes."""

    name: str
    flags: int
    method: int
    crc: int
    packed: int
    size: int
    type: int
    offset: int


def disk_in_zip(window: RandomAccess, asked: str = "") -> Iterator[bytes]:
    """The content of the archive's disk (see :mod:`pragmaspec.images.archives.members`).

    ``asked``: its path, when the spec names it.

    Raises ImageError when there is not exactly one, or it lies.
    """
    directory = _directory(window, _MOST_NAMED_MEMBERS if asked else _MOST_MEMBERS)
    choice, found = MemberSelector(asked), dict[str, _Member]()
    for member in _members(window, directory):
        if member.name.endswith("/") and member.size == 0:
            continue
        if choice.is_metadata(member.name, member.size):
            choice.note(member.name, b"".join(_read(window, member, directory)))
        else:
            # The disk that the spec names is checked when it is read; all others may be whatever they like.
            choice.takes(member.name, b"" if asked else _head(window, member, directory))
            found[normal_path(member.name)] = member
    return choice.read(lambda name: _read(window, found[name], directory))


def _read(window: RandomAccess, member: "_Member", directory: "_Directory") -> Iterator[bytes]:
    _check(member)
    return _content(window, member, _start(window, member, directory))


def _head(window: RandomAccess, member: "_Member", directory: "_Directory") -> bytes:
    """The beginning of a member, as far as it tells what that is."""
    _check(member)
    packed = _packed(window, _start(window, member, directory), min(member.packed, HEAD_BYTES))
    return next(_inflated(packed) if member.method == _DEFLATED else packed, b"")


def _directory(window: RandomAccess, most_members: int) -> _Directory:
    """The directory has to be small and to end where the archive does, but for a comment."""
    start = max(0, window.size - _END.size - _MOST_COMMENT)
    tail = window.at(start, window.size - start)
    at = tail.rfind(_END_MAGIC)
    if at < 0 or len(tail) < at + _END.size:
        raise image_refused(["the zip archive has no end: the download or the copy broke off"])
    _, disk, _, _, members, length, offset, comment = _END.unpack_from(tail, at)
    if disk not in {0, _LARGE_16} or at + _END.size + comment != len(tail):
        raise image_refused(["the zip archive is one of several parts, or something stands behind it"])
    found = _Directory(members, length, offset)
    if members == _LARGE_16 or _LARGE_32 in {length, offset}:
        found = _large_directory(window, start + at)
    if found.members > most_members or found.length > _MOST_DIRECTORY_BYTES:
        raise image_refused([f"the zip archive has more than {most_members} members"])
    return found


def _large_directory(window: RandomAccess, end: int) -> _Directory:
    locator = window.at(max(0, end - _LOCATOR.size), _LOCATOR.size)
    if len(locator) == _LOCATOR.size and locator.startswith(_LOCATOR_MAGIC):
        record = window.at(_LOCATOR.unpack(locator)[2], _END_64.size)
        if len(record) == _END_64.size and record.startswith(_END_64_MAGIC):
            _, _, _, _, _, _, _, members, length, offset = _END_64.unpack(record)
            return _Directory(members, length, offset)
    raise image_refused(["the zip archive is damaged: the place of its directory is missing"])


def _members(window: RandomAccess, directory: _Directory) -> Iterator[_Member]:
    content, at = window.at(directory.offset, directory.length), 0
    for _ in range(directory.members):
        if not content.startswith(_ENTRY_MAGIC, at) or len(content) < at + _ENTRY.size:
            raise image_refused(["the zip archive is damaged: its directory is not whole"])
        _, _, _, flags, method, _, _, crc, packed, size, name_length, extra_length, comment_length, _, _, type_, offset = (
            _ENTRY.unpack_from(content, at)
        )
        name_at = at + _ENTRY.size
        extra = content[name_at + name_length :][:extra_length]
        size, packed, offset = _large(extra, (size, packed, offset))
        name = content[name_at : name_at + name_length].decode(errors="replace")
        yield _Member(name, flags, method, crc, packed, size, stat.S_IFMT(type_ >> _UNIX_TYPE_SHIFT), offset)
        at = name_at + name_length + extra_length + comment_length


def _large(extra: bytes, numbers: tuple[int, ...]) -> list[int]:
    """The numbers, those that do not fit 32 bits from the extra field, where they stand one after another."""
    large = b""
    while len(extra) >= _EXTRA.size:
        kind, length = _EXTRA.unpack_from(extra)
        if kind == _EXTRA_64:
            large = extra[_EXTRA.size : _EXTRA.size + length]
        extra = extra[_EXTRA.size + length :]
    found = []
    for number in numbers:
        if number == _LARGE_32 and len(large) >= 8:  # noqa: PLR2004 - 64 bits
            found.append(int.from_bytes(large[:8], "little"))
            large = large[8:]
        else:
            found.append(number)
    return found


def _check(member: _Member) -> None:
    if member.type not in {0, stat.S_IFREG, stat.S_IFIFO}:  # `zip` calls a pipe what it read from standard input
        raise image_refused([f"the zip archive holds {member.name!r}, which is not a file"])
    if member.flags & _ENCRYPTED:
        raise image_refused(["the zip archive is encrypted"])
    if member.method not in {_STORED, _DEFLATED}:
        raise image_refused(["the zip archive is compressed in a way that is not read here; unpack it (unzip), and use the file"])


def _start(window: RandomAccess, member: _Member, directory: _Directory) -> int:
    """Where the file's bytes begin: behind a header of its own, before the directory."""
    header = window.at(member.offset, _LOCAL.size)
    if len(header) < _LOCAL.size or not header.startswith(_LOCAL_MAGIC):
        raise image_refused(["the zip archive's directory points to nothing"])
    *_, name_length, extra_length = _LOCAL.unpack(header)
    start = int(member.offset + _LOCAL.size + name_length + extra_length)
    if start + member.packed > directory.offset:
        raise image_refused(["the zip archive lies about the length of its file"])
    if member.method == _STORED and member.packed != member.size:
        raise image_refused(["the zip archive gives its file two lengths"])
    return start


def _content(window: RandomAccess, member: _Member, start: int) -> Iterator[bytes]:
    """Never more than the directory promises, and in the end just that, with the right checksum."""
    packed = _packed(window, start, member.packed)
    done = crc = 0
    for piece in _inflated(packed) if member.method == _DEFLATED else packed:
        done += len(piece)
        crc = zlib.crc32(piece, crc)
        if done > member.size:
            break
        yield piece
    if done != member.size:
        raise image_refused([f"the zip archive promises {member.size} bytes and holds {'more' if done > member.size else done}"])
    if crc != member.crc:
        raise image_refused(["the zip archive is damaged: the checksum of its file is wrong"])


def _packed(window: RandomAccess, start: int, length: int) -> Iterator[bytes]:
    at = start
    while at < start + length and (piece := window.at(at, min(_READ_BYTES, start + length - at))):
        at += len(piece)
        yield piece


def _inflated(packed: Iterator[bytes]) -> Iterator[bytes]:
    decoder = zlib.decompressobj(wbits=-15)
    try:
        for piece in packed:
            rest = piece
            while rest and not decoder.eof:
                yield decoder.decompress(rest, _PIECE_BYTES)
                rest = decoder.unconsumed_tail
        while not decoder.eof and (piece := decoder.decompress(b"", _PIECE_BYTES)):
            yield piece
    except zlib.error:
        raise image_refused(["the zip archive is damaged: its file cannot be unpacked"]) from None
