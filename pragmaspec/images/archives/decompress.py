"""Streaming decompression of gzip, xz, bzip2 and zstd, whatever a file expands to.

Memory is bounded by a few MiB; xz and zstd need as much as the file was compressed with, up to a limit. Consecutive members or
frames form one stream, as the command-line tools write and read them. Truncated data and trailing garbage are errors.
"""

import bz2
import lzma
import zlib
from collections.abc import Callable, Iterator
from typing import Protocol

from pragmaspec.errors import ImageError

MAX_CHUNK_BYTES = 2**20
"""Size limit of an output chunk."""
XZ_MEMORY_BYTES = 100 * 2**20
"""A dictionary of 64 MiB, the largest that ``xz -9`` makes, needs 65 MiB."""
_ZERO = b"\0"
_MAX_SMALL_MEMBERS, _BYTES_PER_MEMBER = 1024, 1024
"""Members allowed in any file, and bytes (packed and unpacked) that pay for each further one: a decoder is slow to set up."""
_TRUNCATED = "it is truncated"

Chunks = Iterator[bytes]


class _Decoder(Protocol):
    """The common interface of the standard library's decoders. zlib's lacks ``needs_input`` and has its own loop."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


class _DamagedError(Exception):
    """The compressed data is damaged. Never leaves this module."""


def decompressed(kind: str, chunks: Chunks) -> Chunks:
    """Yield the content of compressed ``chunks``. Raises ImageError if they are damaged or truncated."""
    try:
        yield from _DECODERS[kind](chunks)
    except (zlib.error, lzma.LZMAError, OSError, EOFError, _DamagedError) as error:
        why = str(error).rpartition("data: ")[2]
        detail = f"It is compressed by {kind} and damaged: {why}. Download or copy it again."
        if isinstance(error, lzma.LZMAError) and "emory" in str(error):
            memory = f"{XZ_MEMORY_BYTES // 2**20} MiB"
            detail = f"Decompressing it takes more than {memory} of memory. Compress it again with xz -9 or less."
        raise ImageError("Image refused", detail) from None


def _gzip(chunks: Chunks) -> Chunks:
    decoder, begun = zlib.decompressobj(wbits=31), False
    for chunk in chunks:
        rest = chunk
        while rest:
            if decoder.eof or not begun:
                rest = rest.lstrip(_ZERO) if decoder.eof else rest
                if not rest:
                    break  # padding, as on tapes
                decoder, begun = zlib.decompressobj(wbits=31), True
            out = decoder.decompress(rest, MAX_CHUNK_BYTES)
            rest = decoder.unused_data if decoder.eof else decoder.unconsumed_tail
            if out:
                yield out
        while not decoder.eof and (out := decoder.decompress(b"", MAX_CHUNK_BYTES)):
            yield out
    if not decoder.eof:
        raise _DamagedError(_TRUNCATED)


def _xz(chunks: Chunks) -> Chunks:
    return _members(lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=XZ_MEMORY_BYTES), chunks)


def _bzip2(chunks: Chunks) -> Chunks:
    return _members(bz2.BZ2Decompressor, chunks)


def _zstd(chunks: Chunks) -> Chunks:
    from pragmaspec.images.zstd import ZstdError, new_decoder  # noqa: PLC0415 - rarely needed

    try:
        yield from _members(new_decoder, chunks, padding=b"")
    except ZstdError as error:
        raise _DamagedError(str(error)) from None


def _members(new: Callable[[], _Decoder], chunks: Chunks, padding: bytes = _ZERO) -> Chunks:
    """Decompress each member by a ``new`` decoder. ``padding``: the byte that may follow the last one, empty for none."""
    decoder, members, size = new(), 0, 0
    for chunk in chunks:
        rest = chunk
        size += len(chunk)
        while True:
            if decoder.eof:
                if not rest.strip(padding):
                    break
                decoder = new()
                members += 1
                if members > _MAX_SMALL_MEMBERS + size // _BYTES_PER_MEMBER:
                    raise _DamagedError("it has thousands of empty parts")
            out = decoder.decompress(rest, MAX_CHUNK_BYTES)
            rest = decoder.unused_data if decoder.eof else b""
            if out:
                size += len(out)
                yield out
            if decoder.needs_input if not decoder.eof else not rest:
                break
    if not decoder.eof:
        raise _DamagedError(_TRUNCATED)


_DECODERS: dict[str, Callable[[Chunks], Chunks]] = {"gzip": _gzip, "xz": _xz, "bzip2": _bzip2, "zstd": _zstd}
