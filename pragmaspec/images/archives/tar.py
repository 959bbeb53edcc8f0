"""Stream the disk out of a tar archive, such as an OVA or a Vagrant box.

Archives are untrusted: nothing is extracted under a name from one, only the bytes of one regular file are read, and members that
are not files (links, devices) are a reason to refuse the archive unless the spec names the disk. Sources: POSIX.1-2017 pax,
"ustar Interchange Format"; GNU tar's manual, "GNU Sparse Formats"; DMTF DSP0243 for OVA.
"""

import re
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from pragmaspec.images.archives.members import MemberSelector
from pragmaspec.images.archives.stream import PeekableStream
from pragmaspec.images.formats.inspect import image_refused
from pragmaspec.images.formats.random_access import HEAD_BYTES

_BLOCK = 512
_MAX_HEADER_BYTES = 64 * 1024
"""Size limit of a long name or a pax header."""
_MAX_NAME = 4096
_MAX_MEMBERS, _MAX_MEMBERS_IF_NAMED = 64, 4096
"""Members that an archive may have; the second limit applies if the spec names the disk."""
_MAX_SPARSE_PARTS = 2**20
_MAX_DIGITS = 19
"""Digits of a size that fits 64 bits."""
_REGULAR = {b"0", b"\0", b"7"}
_DIRECTORY, _GNU_SPARSE = b"5", b"S"
_NAME_HEADERS, _PAX, _PAX_GLOBAL = {b"L", b"K"}, b"x", b"g"
_PAX_RECORD = re.compile(rb"(\d{1,9}) ([^=]{1,256})=")
_SPARSE_AT, _SPARSE_ENTRIES, _MORE_AT, _REAL_SIZE_AT = 386, 4, 482, 483
_SPARSE_MORE_ENTRIES, _SPARSE_MORE_AT = 21, 504


class _Member(NamedTuple):
    """A member of the archive; ``parts``: offset and length of each part of its content that is not a hole."""

    name: str
    type: bytes
    size: int
    parts: Sequence[tuple[int, int]]


def disk_in_tar(stream: PeekableStream, asked: str = "") -> Iterator[bytes]:
    """Yield the content of the archive's disk (see :mod:`pragmaspec.images.archives.members`).

    ``asked``: its path, if the spec names it. Raises ImageError unless there is exactly one disk, or for members that are not
    files. The archive is read to its end, because what follows the disk matters too.
    """
    selector = MemberSelector(asked)
    max_members = _MAX_MEMBERS_IF_NAMED if asked else _MAX_MEMBERS
    for _ in range(max_members):
        member = _next_member(stream)
        if member is None:
            _require_zeros(stream)
            selector.finish()
            return
        if member.type not in {*_REGULAR, _GNU_SPARSE}:
            if not (selector.asked or (member.type == _DIRECTORY and not member.size)):
                raise image_refused([f"the archive contains {member.name!r}, which is not a regular file"])
            _skip(stream, member.size)
        elif member.type in _REGULAR and selector.is_metadata(member.name, member.size):
            selector.add_metadata(member.name, b"".join(_content(stream, member)))
        elif selector.selects(member.name, _head(stream, member)):
            yield from selector.hashed(_content(stream, member))
        else:
            _skip(stream, member.size)
    raise image_refused([f"the archive has more than {max_members} members"])


def _head(stream: PeekableStream, member: _Member) -> bytes:
    """Return the first bytes of the member; empty if it begins with a hole."""
    return stream.peek(min(member.size, HEAD_BYTES)) if member.parts[0][0] == 0 else b""


def _next_member(stream: PeekableStream) -> _Member | None:
    """Read the header of the next member, with the size from its extended headers; None at the end of the archive."""
    extended: dict[bytes, bytes] = {}
    for _ in range(_MAX_MEMBERS):
        block = stream.read(_BLOCK)
        if not block.strip(b"\0"):
            if len(block) < _BLOCK:
                raise image_refused(["the archive is truncated"])
            return None
        try:
            header = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        except tarfile.HeaderError as error:
            raise image_refused([f"the archive is damaged ({error})"]) from None
        if header.type not in {*_NAME_HEADERS, _PAX, _PAX_GLOBAL}:
            return _member(stream, header, block, extended)
        content = _extended(stream, header.size)
        if header.type == b"L":
            extended[b"path"] = content.split(b"\0")[0]
        elif header.type != b"K":
            extended.update(_pax(content))
    raise image_refused(["the archive has too many headers for one member"])


def _member(stream: PeekableStream, header: tarfile.TarInfo, block: bytes, extended: Mapping[bytes, bytes]) -> _Member:
    if any(key.startswith(b"GNU.sparse") for key in extended):
        raise image_refused(["the archive contains a sparse file in pax format; unpack it (tar -x), and use the file"])
    pax_size = extended.get(b"size", b"")
    size = int(pax_size[:_MAX_DIGITS]) if pax_size.isdigit() else header.size
    if size < 0 or len(pax_size) > _MAX_DIGITS:
        raise image_refused(["the archive is damaged (a member has an impossible size)"])
    parts = _sparse_map(stream, block) if header.type == _GNU_SPARSE else [(0, size)]
    name = extended[b"path"].decode("utf-8", "surrogateescape") if b"path" in extended else header.name
    if len(name) > _MAX_NAME:
        raise image_refused(["the archive has an oversized name or header"])
    return _Member(name, header.type, size, parts)


def _extended(stream: PeekableStream, size: int) -> bytes:
    if not 0 <= size <= _MAX_HEADER_BYTES:
        raise image_refused(["the archive has an oversized name or header"])
    content = stream.read(-(-size // _BLOCK) * _BLOCK)
    return content[:size]


def _pax(content: bytes) -> dict[bytes, bytes]:
    found, at = {}, 0
    while record := _PAX_RECORD.match(content, at):
        end = at + int(record[1])
        found[record[2]] = content[record.end() : end - 1]
        if end <= record.end():
            break
        at = end
    return found


def _sparse_map(stream: PeekableStream, block: bytes) -> list[tuple[int, int]]:
    """Return offset and length of each part of a sparse file in GNU's old format, ascending, with an empty one at its end."""
    parts = _sparse_entries(block, _SPARSE_AT, _SPARSE_ENTRIES)
    more = block[_MORE_AT]
    while more:
        block_ = stream.read(_BLOCK)
        if len(block_) < _BLOCK or len(parts) > _MAX_SPARSE_PARTS:
            raise image_refused(["the archive is damaged (the map of a sparse file is truncated)"])
        parts += _sparse_entries(block_, 0, _SPARSE_MORE_ENTRIES)
        more = block_[_SPARSE_MORE_AT]
    parts.append((_number(block[_REAL_SIZE_AT : _REAL_SIZE_AT + 12]), 0))
    end = 0
    for offset, length in parts:
        if offset < end or length < 0:
            raise image_refused(["the archive is damaged (the parts of a sparse file overlap)"])
        end = offset + length
    return parts


def _sparse_entries(block: bytes, at: int, count: int) -> list[tuple[int, int]]:
    entries = [(block[at + 24 * index :][:12], block[at + 24 * index + 12 :][:12]) for index in range(count)]
    return [(_number(offset), _number(length)) for offset, length in entries if offset.strip(b"\0 ")]


def _number(field: bytes) -> int:
    try:
        return int(tarfile.nti(field))  # type: ignore[attr-defined]  # octal or base 256, as tar writes numbers; not in its stub
    except tarfile.HeaderError:
        raise image_refused(["the archive is damaged (invalid number)"]) from None


def _content(stream: PeekableStream, member: _Member) -> Iterator[bytes]:
    if sum(length for _, length in member.parts) != member.size:
        raise image_refused(["the archive is damaged (wrong size of a sparse file)"])
    at = 0
    for offset, length in member.parts:
        yield from zero_chunks(offset - at)
        yield from _whole(stream, length)
        at = offset + length
    _skip_padding(stream, member.size)


def zero_chunks(length: int) -> Iterator[bytes]:
    """Yield ``length`` zero bytes in chunks of at most 1 MiB."""
    block = bytes(min(length, 2**20))
    while length > 0:
        yield block[:length]
        length -= len(block)


def _whole(stream: PeekableStream, length: int) -> Iterator[bytes]:
    left = length
    for chunk in stream.read_chunks(length):
        left -= len(chunk)
        yield chunk
    if left:
        raise image_refused(["the archive is truncated"])


def _skip(stream: PeekableStream, size: int) -> None:
    for _ in _whole(stream, size):
        pass
    _skip_padding(stream, size)


def _skip_padding(stream: PeekableStream, size: int) -> None:
    stream.read(-size % _BLOCK)


def _require_zeros(stream: PeekableStream) -> None:
    """Only zeros may follow the first block of zeros."""
    for chunk in stream.rest():
        if chunk.strip(b"\0"):
            raise image_refused(["there is data after the end of the archive"])
