"""Compressed files as streams of bytes: never more in memory than a few MiB, whatever they unpack to, and nothing cut off unseen.

Each decoder takes the pieces of a file and gives pieces of what is in it. Several members or frames one after another are one
file, as the tools themselves write them; anything behind the end is refused.
"""

import bz2
import lzma
import zlib
from collections.abc import Callable, Iterator
from typing import IO, Protocol, cast

from pragmaspec.errors import ImageError, Problem
from pragmaspec.images.zstd_frames import Frames

PIECE_BYTES = 2**20
"""No piece that comes out is larger."""
XZ_MEMORY_BYTES = 100 * 2**20
"""A dictionary of 64 MiB, the largest that ``xz -9`` makes, needs 65 MiB."""
ZSTD_WINDOW_BYTES = 2**27
"""What ``zstd`` itself reads unless it is told otherwise."""
_END_OF_GZIP = b"\0"

Pieces = Iterator[bytes]


class _Decoder(Protocol):
    """What the decoders of the standard library have in common; zlib's lacks ``needs_input``, so it has its own loop."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


def unpacked(kind: str, pieces: Pieces) -> Pieces:
    """What is in the compressed ``pieces`` of a file of this kind. Raises ImageError when it is damaged or cut off."""
    try:
        yield from _DECODERS[kind](pieces)
    except (zlib.error, lzma.LZMAError, OSError, EOFError, _Damaged) as error:
        why = str(error).rpartition("data: ")[2]
        detail = f"It is compressed by {kind} and damaged: {why}. Download or copy it again."
        if isinstance(error, lzma.LZMAError) and "emory" in str(error):
            detail = (
                f"Unpacking it takes more than {XZ_MEMORY_BYTES // 2**20} MiB of memory. Compress it again with xz -9 or less."
            )
        raise ImageError(Problem(summary="Image refused", detail=detail)) from None


class _Damaged(Exception):  # noqa: N818 - never leaves this module
    """The compressed data is not whole."""


def _gzip(pieces: Pieces) -> Pieces:
    decoder, begun = zlib.decompressobj(wbits=31), False
    for piece in pieces:
        rest = piece
        while rest:
            if decoder.eof or not begun:
                rest = rest.lstrip(_END_OF_GZIP) if decoder.eof else rest
                if not rest:
                    break  # padding, as tapes need it
                decoder, begun = zlib.decompressobj(wbits=31), True
            out = decoder.decompress(rest, PIECE_BYTES)
            rest = decoder.unused_data if decoder.eof else decoder.unconsumed_tail
            if out:
                yield out
        while not decoder.eof and (out := decoder.decompress(b"", PIECE_BYTES)):
            yield out
    if not decoder.eof:
        raise _Damaged(_CUT_OFF)


_CUT_OFF = "it breaks off before its end"


def _of_library(new: Callable[[], _Decoder], pieces: Pieces) -> Pieces:
    decoder = new()
    for piece in pieces:
        rest = piece
        while True:
            if decoder.eof:
                rest = rest or decoder.unused_data
                if not rest.strip(b"\0"):
                    break
                decoder = new()
            out = decoder.decompress(rest, PIECE_BYTES)
            rest = decoder.unused_data if decoder.eof else b""
            if out:
                yield out
            if decoder.needs_input if not decoder.eof else not rest:
                break
    if not decoder.eof:
        raise _Damaged(_CUT_OFF)


def _xz(pieces: Pieces) -> Pieces:
    return _of_library(lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=XZ_MEMORY_BYTES), pieces)


def _bzip2(pieces: Pieces) -> Pieces:
    return _of_library(bz2.BZ2Decompressor, pieces)


class _Followed:
    """The pieces as a file to read from, whose frames are followed."""

    def __init__(self, pieces: Pieces) -> None:
        self._pieces = pieces
        self._held = b""
        self.frames = Frames()

    def read(self, length: int) -> bytes:
        held = self._held or next(self._pieces, b"")
        self._held = held[length:]
        self.frames.follow(held[:length])
        return held[:length]


def _zstd(pieces: Pieces) -> Pieces:
    import zstandard  # noqa: PLC0415 - only for files that need it

    source = _Followed(pieces)
    context = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW_BYTES)
    reader = context.stream_reader(cast("IO[bytes]", source), read_size=PIECE_BYTES, read_across_frames=True)
    try:
        while out := reader.read(PIECE_BYTES):
            yield out
    except zstandard.ZstdError as error:
        raise _Damaged(str(error).removeprefix("zstd decompress error: ")) from None
    if not source.frames.between:
        raise _Damaged(_CUT_OFF)


def zstd_frame(packed: bytes, length: int) -> bytes:
    """Up to ``length`` bytes of the frame that ``packed`` begins with; what follows it is left alone. Raises ImageError."""
    import zstandard  # noqa: PLC0415 - only for what needs it

    try:
        return zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW_BYTES).stream_reader(packed).read(length)
    except zstandard.ZstdError as error:
        raise ImageError(Problem(summary="Image refused", detail=f"It is compressed by zstd and damaged: {error}.")) from None


_DECODERS: dict[str, Callable[[Pieces], Pieces]] = {"gzip": _gzip, "xz": _xz, "bzip2": _bzip2, "zstd": _zstd}
