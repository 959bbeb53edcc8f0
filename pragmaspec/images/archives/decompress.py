"""Compressed files as streams of bytes: never more in memory than a few MiB, whatever they unpack to, and nothing cut off unseen.

Each decoder takes the pieces of a file and gives pieces of what is in it. Several members or frames one after another are one
file, as the tools themselves write them; anything behind the end is refused.

Where the frames of zstd data begin and end, by their headers alone: so it is known whether the last one is whole.

Source: RFC 8878, sections 3.1.1 and 3.1.2.
"""

import bz2
import lzma
import zlib
from collections.abc import Callable, Generator, Iterator
from typing import IO, Protocol, cast

from pragmaspec.errors import ImageError

_MAGIC, _SKIPPABLE, _SKIPPABLE_MASK = 0xFD2FB528, 0x184D2A50, 0xFFFFFFF0
_ID_BYTES, _SIZE_BYTES = (0, 1, 2, 4), (0, 2, 4, 8)
_SINGLE_SEGMENT, _CHECKSUM = 1 << 5, 1 << 2
_ENDLESS = 2**63
_MOST_EMPTY_BLOCKS = 1024
"""In one frame. No tool writes more than a few; a file of nothing else would be followed for minutes, and is never whole."""
_RUN = 1
"""The type of a block that is one byte many times."""


class Frames:
    """Follows zstd data piece by piece."""

    def __init__(self) -> None:
        self._begins = True
        self._held = b""
        self._skip = 0
        self._steps = self._walk()
        self._wanted = next(self._steps)

    @property
    def between(self) -> bool:
        """Whether a frame has just ended, and none has begun."""
        return self._begins and not self._skip and not self._held

    def follow(self, piece: bytes) -> None:
        """More data. What is no zstd is for the decoder to complain of."""
        at = 0
        while at < len(piece):
            if self._skip:
                passed = min(self._skip, len(piece) - at)
                self._skip -= passed
                at += passed
                continue
            taken = piece[at : at + self._wanted - len(self._held)]
            at += len(taken)
            self._held += taken
            if len(self._held) == self._wanted:
                held, self._held = self._held, b""
                self._wanted = self._steps.send(held)

    def _walk(self) -> Generator[int, bytes, None]:
        """Yields how many bytes it wants to see once those to skip have passed, and gets them."""
        while True:
            self._begins = True
            magic = int.from_bytes((yield 4), "little")
            self._begins = False
            if magic & _SKIPPABLE_MASK == _SKIPPABLE:
                self._skip = int.from_bytes((yield 4), "little")
            elif magic == _MAGIC:
                yield from self._frame()
            else:
                self._skip = _ENDLESS

    def _frame(self) -> Generator[int, bytes, None]:
        descriptor = (yield 1)[0]
        single = bool(descriptor & _SINGLE_SEGMENT)
        size = _SIZE_BYTES[descriptor >> 6] or int(single)
        self._skip = (0 if single else 1) + _ID_BYTES[descriptor & 3] + size
        last, empty = False, 0
        while not last:
            header = int.from_bytes((yield 3), "little")
            last = bool(header & 1)
            empty += header >> 3 == 0
            if empty > _MOST_EMPTY_BLOCKS:
                self._skip = _ENDLESS
                yield 1
            self._skip = 1 if header >> 1 & 3 == _RUN else header >> 3
        if descriptor & _CHECKSUM:
            self._skip += 4


MAX_CHUNK_BYTES = 2**20
"""No piece that comes out is larger."""
XZ_MEMORY_BYTES = 100 * 2**20
"""A dictionary of 64 MiB, the largest that ``xz -9`` makes, needs 65 MiB."""
ZSTD_WINDOW_BYTES = 2**27
"""What ``zstd`` itself reads unless it is told otherwise."""
_END_OF_GZIP = b"\0"

Chunks = Iterator[bytes]


class _Decoder(Protocol):
    """What the decoders of the standard library have in common; zlib's lacks ``needs_input``, so it has its own loop."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


def decompressed(kind: str, pieces: Chunks) -> Chunks:
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
        raise ImageError("Image refused", detail) from None


class _Damaged(Exception):  # noqa: N818 - never leaves this module
    """The compressed data is not whole."""


def _gzip(pieces: Chunks) -> Chunks:
    decoder, begun = zlib.decompressobj(wbits=31), False
    for piece in pieces:
        rest = piece
        while rest:
            if decoder.eof or not begun:
                rest = rest.lstrip(_END_OF_GZIP) if decoder.eof else rest
                if not rest:
                    break  # padding, as tapes need it
                decoder, begun = zlib.decompressobj(wbits=31), True
            out = decoder.decompress(rest, MAX_CHUNK_BYTES)
            rest = decoder.unused_data if decoder.eof else decoder.unconsumed_tail
            if out:
                yield out
        while not decoder.eof and (out := decoder.decompress(b"", MAX_CHUNK_BYTES)):
            yield out
    if not decoder.eof:
        raise _Damaged(_CUT_OFF)


_CUT_OFF = "it breaks off before its end"


def _of_library(new: Callable[[], _Decoder], pieces: Chunks) -> Chunks:
    decoder = new()
    for piece in pieces:
        rest = piece
        while True:
            if decoder.eof:
                rest = rest or decoder.unused_data
                if not rest.strip(b"\0"):
                    break
                decoder = new()
            out = decoder.decompress(rest, MAX_CHUNK_BYTES)
            rest = decoder.unused_data if decoder.eof else b""
            if out:
                yield out
            if decoder.needs_input if not decoder.eof else not rest:
                break
    if not decoder.eof:
        raise _Damaged(_CUT_OFF)


def _xz(pieces: Chunks) -> Chunks:
    return _of_library(lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=XZ_MEMORY_BYTES), pieces)


def _bzip2(pieces: Chunks) -> Chunks:
    return _of_library(bz2.BZ2Decompressor, pieces)


class _Followed:
    """The pieces as a file to read from, whose frames are followed."""

    def __init__(self, pieces: Chunks) -> None:
        self._pieces = pieces
        self._held = b""
        self.frames = Frames()

    def read(self, length: int) -> bytes:
        held = self._held or next(self._pieces, b"")
        self._held = held[length:]
        self.frames.follow(held[:length])
        return held[:length]


def _zstd(pieces: Chunks) -> Chunks:
    import zstandard  # noqa: PLC0415 - only for files that need it

    source = _Followed(pieces)
    context = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW_BYTES)
    reader = context.stream_reader(cast("IO[bytes]", source), read_size=MAX_CHUNK_BYTES, read_across_frames=True)
    try:
        while out := reader.read(MAX_CHUNK_BYTES):
            yield out
    except zstandard.ZstdError as error:
        raise _Damaged(str(error).removeprefix("zstd decompress error: ")) from None
    if not source.frames.between:
        raise _Damaged(_CUT_OFF)


def decompress_zstd_frame(packed: bytes, length: int) -> bytes:
    """Up to ``length`` bytes of the frame that ``packed`` begins with; what follows it is left alone. Raises ImageError."""
    import zstandard  # noqa: PLC0415 - only for what needs it

    try:
        return zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW_BYTES).stream_reader(packed).read(length)
    except zstandard.ZstdError as error:
        raise ImageError("Image refused", f"It is compressed by zstd and damaged: {error}.") from None


_DECODERS: dict[str, Callable[[Chunks], Chunks]] = {"gzip": _gzip, "xz": _xz, "bzip2": _bzip2, "zstd": _zstd}
