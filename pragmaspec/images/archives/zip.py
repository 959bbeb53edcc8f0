"""Stream the disk out of a zip archive. Strict for the same reasons as :mod:`pragmaspec.images.archives.tar`.

The standard library's reader trusts the archive's directory, and raises undocumented exceptions for some damage. Source: PKWARE,
APPNOTE.TXT 6.3.10; the structures have its names.
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
"""The value of a field whose number is in a 64-bit field elsewhere."""
_MAX_COMMENT = 65535
_MAX_MEMBERS, _MAX_MEMBERS_IF_NAMED, _MAX_DIRECTORY_BYTES = 64, 4096, 2**20
"""The second number of members applies if the spec names the disk."""
_CHUNK_BYTES = 2**20
_READ_BYTES = 64 * 1024
_ENCRYPTED = 1 << 0 | 1 << 6 | 1 << 13
_STORED, _DEFLATED = 0, 8
_UNIX_TYPE_SHIFT = 16


class _Directory(NamedTuple):
    """Position of the archive's directory, and number of members."""

    members: int
    length: int
    offset: int


class _Member(NamedTuple):
    """A member as in the directory; ``packed`` and ``size`` in bytes."""

    name: str
    flags: int
    method: int
    crc: int
    packed: int
    size: int
    type: int
    offset: int


def disk_in_zip(file: RandomAccess, asked: str = "") -> Iterator[bytes]:
    """Yield the content of the archive's disk (see :mod:`pragmaspec.images.archives.members`).

    ``asked``: its path, if the spec names it. Raises ImageError unless there is exactly one disk that agrees with the directory.
    """
    directory = _directory(file, _MAX_MEMBERS_IF_NAMED if asked else _MAX_MEMBERS)
    selector, found = MemberSelector(asked), dict[str, _Member]()
    for member in _members(file, directory):
        if member.name.endswith("/") and member.size == 0:
            continue
        if selector.is_metadata(member.name, member.size):
            selector.add_metadata(member.name, b"".join(_read(file, member, directory)))
        else:
            # If the spec names the disk, that one is checked when it is read; the others do not matter.
            selector.selects(member.name, b"" if asked else _head(file, member, directory))
            found[normal_path(member.name)] = member
    return selector.read(lambda name: _read(file, found[name], directory))


def _read(file: RandomAccess, member: _Member, directory: _Directory) -> Iterator[bytes]:
    _check(member)
    return _content(file, member, _start(file, member, directory))


def _head(file: RandomAccess, member: _Member, directory: _Directory) -> bytes:
    """Return the beginning of a member, enough to detect its format."""
    _check(member)
    packed = _packed(file, _start(file, member, directory), min(member.packed, HEAD_BYTES))
    return next(_inflated(packed) if member.method == _DEFLATED else packed, b"")


def _directory(file: RandomAccess, max_members: int) -> _Directory:
    """Find the directory, which must be small and end the archive, except for a comment."""
    start = max(0, file.size - _END.size - _MAX_COMMENT)
    tail = file.read_at(start, file.size - start)
    at = tail.rfind(_END_MAGIC)
    if at < 0 or len(tail) < at + _END.size:
        raise image_refused(["the zip archive is truncated"])
    _, disk, _, _, members, length, offset, comment = _END.unpack_from(tail, at)
    if disk not in {0, _LARGE_16} or at + _END.size + comment != len(tail):
        raise image_refused(["the zip archive has several parts, or there is data after its end"])
    found = _Directory(members, length, offset)
    if members == _LARGE_16 or _LARGE_32 in {length, offset}:
        found = _large_directory(file, start + at)
    if found.members > max_members or found.length > _MAX_DIRECTORY_BYTES:
        raise image_refused([f"the zip archive has more than {max_members} members"])
    return found


def _large_directory(file: RandomAccess, end: int) -> _Directory:
    locator = file.read_at(max(0, end - _LOCATOR.size), _LOCATOR.size)
    if len(locator) == _LOCATOR.size and locator.startswith(_LOCATOR_MAGIC):
        record = file.read_at(_LOCATOR.unpack(locator)[2], _END_64.size)
        if len(record) == _END_64.size and record.startswith(_END_64_MAGIC):
            _, _, _, _, _, _, _, members, length, offset = _END_64.unpack(record)
            return _Directory(members, length, offset)
    raise image_refused(["the zip archive is damaged: its directory cannot be found"])


def _members(file: RandomAccess, directory: _Directory) -> Iterator[_Member]:
    content, at = file.read_at(directory.offset, directory.length), 0
    for _ in range(directory.members):
        if not content.startswith(_ENTRY_MAGIC, at) or len(content) < at + _ENTRY.size:
            raise image_refused(["the zip archive is damaged: its directory is truncated"])
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
    """Return the numbers, taking those that do not fit 32 bits from the extra field, which has them in the same order."""
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
    if member.type not in {0, stat.S_IFREG, stat.S_IFIFO}:  # `zip` marks what it read from standard input as a pipe
        raise image_refused([f"the zip archive contains {member.name!r}, which is not a regular file"])
    if member.flags & _ENCRYPTED:
        raise image_refused(["the zip archive is encrypted"])
    if member.method not in {_STORED, _DEFLATED}:
        raise image_refused(["the compression method of the zip archive is not supported; unpack it (unzip), and use the file"])


def _start(file: RandomAccess, member: _Member, directory: _Directory) -> int:
    """Return the offset of the member's bytes, which follow its local header and precede the directory."""
    header = file.read_at(member.offset, _LOCAL.size)
    if len(header) < _LOCAL.size or not header.startswith(_LOCAL_MAGIC):
        raise image_refused(["the zip archive is damaged: its directory points to no member"])
    *_, name_length, extra_length = _LOCAL.unpack(header)
    start = int(member.offset + _LOCAL.size + name_length + extra_length)
    if start + member.packed > directory.offset:
        raise image_refused(["the zip archive is damaged: a member is longer than the archive"])
    if member.method == _STORED and member.packed != member.size:
        raise image_refused(["the zip archive is damaged: a member has two lengths"])
    return start


def _content(file: RandomAccess, member: _Member, start: int) -> Iterator[bytes]:
    """Yield the content, never more than the directory declares; its length and checksum must match."""
    packed = _packed(file, start, member.packed)
    done = crc = 0
    for chunk in _inflated(packed) if member.method == _DEFLATED else packed:
        done += len(chunk)
        crc = zlib.crc32(chunk, crc)
        if done > member.size:
            break
        yield chunk
    if done != member.size:
        raise image_refused(
            [f"the zip archive declares {member.size} bytes and contains {'more' if done > member.size else done}"]
        )
    if crc != member.crc:
        raise image_refused(["the zip archive is damaged: wrong checksum of its disk"])


def _packed(file: RandomAccess, start: int, length: int) -> Iterator[bytes]:
    at = start
    while at < start + length and (chunk := file.read_at(at, min(_READ_BYTES, start + length - at))):
        at += len(chunk)
        yield chunk


def _inflated(packed: Iterator[bytes]) -> Iterator[bytes]:
    decoder = zlib.decompressobj(wbits=-15)
    try:
        for chunk in packed:
            rest = chunk
            while rest and not decoder.eof:
                yield decoder.decompress(rest, _CHUNK_BYTES)
                rest = decoder.unconsumed_tail
        while not decoder.eof and (chunk := decoder.decompress(b"", _CHUNK_BYTES)):
            yield chunk
    except zlib.error:
        raise image_refused(["the zip archive is damaged: its disk cannot be decompressed"]) from None
