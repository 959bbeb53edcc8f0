"""Compressed streams: whole or refused, whatever the pieces they come in."""

import bz2
import gzip
import lzma
import struct
import threading
import zlib
from collections.abc import Callable, Iterator

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from pragmaspec.errors import ImageError
from pragmaspec.images.archives.decompress import MAX_CHUNK_BYTES, Frames, decompressed
from pragmaspec.images.archives.prefetch import prefetch
from pragmaspec.images.archives.stream import PeekableStream
from pragmaspec.images.archives.zip import disk_in_zip
from pragmaspec.images.formats.random_access import RandomAccessBytes

CONTENT = bytes(range(256)) * 40 + bytes(300_000) + b"end"
PACK: dict[str, Callable[[bytes], bytes]] = {
    "gzip": lambda content: gzip.compress(content, mtime=0),
    "xz": lzma.compress,
    "bzip2": bz2.compress,
    "zstd": zstandard.ZstdCompressor(write_checksum=True).compress,
}


def cut(content: bytes, length: int) -> Iterator[bytes]:
    for start in range(0, len(content), length):
        yield content[start : start + length]


@pytest.mark.parametrize("kind", PACK)
@pytest.mark.parametrize("length", [1, 7, 64, 10**6])
@pytest.mark.parametrize("members", [1, 3])
def test_pieces_and_members_do_not_matter(kind: str, length: int, members: int) -> None:
    packed = PACK[kind](CONTENT) * members
    found = list(decompressed(kind, cut(packed, length)))
    assert b"".join(found) == CONTENT * members
    assert all(len(piece) <= MAX_CHUNK_BYTES for piece in found)


@pytest.mark.parametrize("kind", PACK)
def test_what_is_cut_off_anywhere_is_noticed(kind: str) -> None:
    packed = PACK[kind](CONTENT)
    for length in range(1, len(packed)):
        with pytest.raises(ImageError, match=f"compressed by {kind} and damaged"):
            list(decompressed(kind, cut(packed[:length], 50)))


@pytest.mark.parametrize("kind", PACK)
def test_something_behind_the_end_is_noticed(kind: str) -> None:
    with pytest.raises(ImageError, match="damaged"):
        list(decompressed(kind, cut(PACK[kind](CONTENT) + b"something else", 50)))


@pytest.mark.parametrize("kind", ["gzip", "xz", "bzip2"])
def test_padding_of_zeros_is_none_of_it(kind: str) -> None:
    assert b"".join(decompressed(kind, cut(PACK[kind](CONTENT) + bytes(1000), 64))) == CONTENT


@pytest.mark.parametrize("size", [0, 1, 300, 70_000, 500_000])
@pytest.mark.parametrize("options", [{}, {"write_checksum": True}, {"write_content_size": False}, {"level": 19}])
def test_frames_of_zstd_are_followed(size: int, options: dict[str, int]) -> None:
    frame = zstandard.ZstdCompressor(**options).compress(CONTENT[:size] * 2)
    data = b"\x50\x2a\x4d\x18\x03\0\0\0abc" + frame + frame
    ends = {0, 11, 11 + len(frame), 11 + 2 * len(frame)}
    for step in (1, 13):
        frames, at = Frames(), 0
        for piece in cut(data, step):
            frames.follow(piece)
            at += len(piece)
            assert frames.between == (at in ends)


def large_zip(content: bytes, *, whole: bool = True) -> bytes:
    """An archive whose numbers all stand in fields of 64 bits, as those beyond 4 GiB do."""
    local = struct.pack("<4s5H3I2H", b"PK\3\4", 45, 0, 0, 0, 0, zlib.crc32(content), 2**32 - 1, 2**32 - 1, 5, 0) + b"a.raw"
    at = len(local) + len(content)
    extra = struct.pack("<HHB", 7, 1, 0) + struct.pack("<HHQQQ", 1, 24, len(content), len(content), 0)
    none = 2**32 - 1
    numbers = (45, 45, 0, 0, 0, 0, zlib.crc32(content), none, none, 5, len(extra), 0, 0, 0, 0, none)
    entry = struct.pack("<4s6H3I5H2I", b"PK\1\2", *numbers)
    directory = entry + b"a.raw" + extra
    end = struct.pack("<4sQHHIIQQQQ", b"PK\6\6", 44, 45, 45, 0, 0, 1, 1, len(directory), at)
    locator = struct.pack("<4sIQI", b"PK\6\7", 0, at + len(directory), 1)
    last = struct.pack("<4s4HIIH", b"PK\5\6", 0, 0, 2**16 - 1, 2**16 - 1, 2**32 - 1, 2**32 - 1, 0)
    return local + content + directory + (end if whole else bytes(len(end))) + locator + last


def test_zip_archives_of_more_than_four_gib_are_read() -> None:
    assert b"".join(disk_in_zip(RandomAccessBytes(large_zip(CONTENT)))) == CONTENT
    with pytest.raises(ImageError, match="place of its directory"):
        disk_in_zip(RandomAccessBytes(large_zip(CONTENT, whole=False)))


@settings(max_examples=100)
@given(st.lists(st.binary(max_size=50), max_size=20), st.data())
def test_a_stream_gives_what_is_in_it_however_it_is_taken(pieces: list[bytes], data: st.DataObject) -> None:
    stream, left = PeekableStream(iter(piece for piece in pieces if piece)), b"".join(pieces)
    for _ in range(data.draw(st.integers(0, 8))):
        length = data.draw(st.integers(0, 60))
        how = data.draw(st.sampled_from(["peek", "take", "upto"]))
        if how == "peek":
            assert stream.peek(length) == left[:length]
            continue
        found = stream.take(length) if how == "take" else b"".join(stream.upto(length))
        assert found == left[:length]
        left = left[length:]
    assert b"".join(stream.rest()) == left


def test_pieces_that_are_fetched_ahead_are_the_same_ones() -> None:
    pieces = [bytes([number]) * 10 for number in range(100)]
    with prefetch(iter(pieces)) as found:
        assert list(found) == pieces


def test_an_error_comes_in_its_place() -> None:
    def failing() -> Iterator[bytes]:
        yield b"one"
        raise ImageError("broken")

    with prefetch(failing()) as pieces:
        assert next(pieces) == b"one"
        with pytest.raises(ImageError, match="broken"):
            next(pieces)


def test_whoever_stops_early_leaves_no_thread_behind() -> None:
    before = threading.active_count()
    with prefetch(bytes(10) for _ in range(10**9)) as pieces:
        next(pieces)
    assert threading.active_count() == before
