"""Compressed streams: decompressed completely or refused, whatever the chunks they arrive in."""

import bz2
import gzip
import lzma
import struct
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pragmaspec.errors import ImageError
from pragmaspec.images.archives.compress import COMPRESSION_SUFFIXES, compressed_writer
from pragmaspec.images.archives.decompress import MAX_CHUNK_BYTES, decompressed
from pragmaspec.images.archives.prefetch import prefetch
from pragmaspec.images.archives.stream import PeekableStream
from pragmaspec.images.archives.zip import disk_in_zip
from pragmaspec.images.formats.random_access import RandomAccessBytes
from tests.images.bad_disks import zstd

CONTENT = bytes(range(256)) * 40 + bytes(300_000) + b"end"
SKIPPABLE = b"\x50\x2a\x4d\x18\x03\0\0\0abc"
KINDS = {"gz": "gzip", "xz": "xz", "bz2": "bzip2", "zst": "zstd"}


COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": lambda content: gzip.compress(content, mtime=0),
    "xz": lzma.compress,
    "bzip2": bz2.compress,
    "zstd": zstd,
}


def cut(content: bytes, length: int) -> Iterator[bytes]:
    for start in range(0, len(content), length):
        yield content[start : start + length]


@pytest.mark.parametrize("kind", COMPRESS)
@pytest.mark.parametrize("length", [1, 7, 64, 10**6])
@pytest.mark.parametrize("members", [1, 3])
def test_chunks_and_members_do_not_change_the_content(kind: str, length: int, members: int) -> None:
    packed = COMPRESS[kind](CONTENT) * members
    found = list(decompressed(kind, cut(packed, length)))
    assert b"".join(found) == CONTENT * members
    assert all(len(chunk) <= MAX_CHUNK_BYTES for chunk in found)


@pytest.mark.parametrize("kind", COMPRESS)
def test_a_truncated_stream_is_refused(kind: str) -> None:
    packed = COMPRESS[kind](CONTENT)
    for length in range(1, len(packed)):
        with pytest.raises(ImageError, match=f"compressed by {kind} and damaged"):
            list(decompressed(kind, cut(packed[:length], 50)))


@pytest.mark.parametrize("kind", COMPRESS)
def test_trailing_garbage_is_refused(kind: str) -> None:
    with pytest.raises(ImageError, match="damaged"):
        list(decompressed(kind, cut(COMPRESS[kind](CONTENT) + b"something else", 50)))


@pytest.mark.parametrize("kind", ["gzip", "xz", "bzip2"])
def test_padding_with_zeros_is_ignored(kind: str) -> None:
    assert b"".join(decompressed(kind, cut(COMPRESS[kind](CONTENT) + bytes(1000), 64))) == CONTENT


@pytest.mark.parametrize("size", [0, 1, 300, 70_000, 500_000])
@pytest.mark.parametrize(
    "options", [{"checksum_flag": 0}, {"checksum_flag": 1}, {"content_size_flag": 0}, {"compression_level": 19}]
)
def test_zstd_frames_of_any_kind_are_read_and_truncation_is_noticed(size: int, options: dict[str, int]) -> None:
    content, ends = CONTENT[:size] * 2, {0}
    data = b""
    for frame in (SKIPPABLE, zstd(content, **options), zstd(content, **options)):
        data += frame
        ends.add(len(data))
    assert b"".join(decompressed("zstd", cut(data, 13))) == content * 2
    for length in {*range(min(len(data), 300)), *range(max(0, len(data) - 300), len(data))} - ends:
        with pytest.raises(ImageError, match="it is truncated"):
            list(decompressed("zstd", cut(data[:length], 1000)))


def test_a_zstd_window_beyond_the_limit_is_refused() -> None:
    with pytest.raises(ImageError, match="requires too much memory"):
        list(decompressed("zstd", iter([zstd(b"", window_log=28, content_size_flag=0)])))


@pytest.mark.parametrize("member", [SKIPPABLE, zstd(b""), zstd(b"a")], ids=["skippable", "empty", "one byte"])
def test_a_flood_of_tiny_zstd_frames_is_refused_quickly(member: bytes) -> None:
    begun = time.process_time()
    with pytest.raises(ImageError, match="thousands of empty parts"):
        list(decompressed("zstd", cut(member * 2**20, 2**18)))
    assert time.process_time() - begun < 1


def test_small_zstd_frames_of_a_sparse_disk_are_accepted() -> None:
    """As written by tools that make a compressed file seekable: many frames of 64 KiB, of which most are zeros."""
    frames = zstd(bytes(2**16)) * 4000
    assert sum(map(len, decompressed("zstd", cut(frames, 2**18)))) == 4000 * 2**16


@pytest.mark.parametrize("suffix", COMPRESSION_SUFFIXES)
def test_compression_is_deterministic_and_can_be_undone(tmp_path: Path, suffix: str) -> None:
    packed = set()
    for number, length in enumerate((2**18, 2**18, 1000)):
        file = tmp_path / f"{number}"
        with compressed_writer(suffix, file) as write:
            for chunk in cut(CONTENT, length):
                write(chunk)
        packed.add(file.read_bytes())
    assert len(packed) == 1
    assert b"".join(decompressed(KINDS[suffix], iter(packed))) == CONTENT


def large_zip(content: bytes, *, whole: bool = True) -> bytes:
    """An archive with all numbers in 64-bit fields, as beyond 4 GiB."""
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


def test_zip_archives_beyond_four_gib_are_read() -> None:
    assert b"".join(disk_in_zip(RandomAccessBytes(large_zip(CONTENT)))) == CONTENT
    with pytest.raises(ImageError, match="directory cannot be found"):
        disk_in_zip(RandomAccessBytes(large_zip(CONTENT, whole=False)))


@settings(max_examples=100)
@given(st.lists(st.binary(max_size=50), max_size=20), st.data())
def test_a_stream_yields_its_content_however_it_is_read(chunks: list[bytes], data: st.DataObject) -> None:
    stream, left = PeekableStream(iter(chunk for chunk in chunks if chunk)), b"".join(chunks)
    for _ in range(data.draw(st.integers(0, 8))):
        length = data.draw(st.integers(0, 60))
        how = data.draw(st.sampled_from(["peek", "read", "read_chunks"]))
        if how == "peek":
            assert stream.peek(length) == left[:length]
            continue
        found = stream.read(length) if how == "read" else b"".join(stream.read_chunks(length))
        assert found == left[:length]
        left = left[length:]
    assert b"".join(stream.rest()) == left


def test_prefetched_chunks_are_the_same() -> None:
    chunks = [bytes([number]) * 10 for number in range(100)]
    with prefetch(iter(chunks)) as found:
        assert list(found) == chunks


def test_prefetch_raises_an_error_in_its_place() -> None:
    def failing() -> Iterator[bytes]:
        yield b"one"
        raise ImageError("broken")

    with prefetch(failing()) as chunks:
        assert next(chunks) == b"one"
        with pytest.raises(ImageError, match="broken"):
            next(chunks)


def test_prefetch_leaves_no_thread_when_it_is_stopped_early() -> None:
    before = threading.active_count()
    with prefetch(bytes(10) for _ in range(10**9)) as chunks:
        next(chunks)
    assert threading.active_count() == before
