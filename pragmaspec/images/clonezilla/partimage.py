"""Images of partimage, as Clonezilla wrote them before partclone: read here, since partimage itself wants a device and root.

Layout of version 0.6.1 (the only one since 2003), numbers little endian: a volume header of 512 bytes; a main header; the marks
of ten extensions; a local header with size and number of blocks; a bitmap of the used ones; file system information; the used
blocks in order, after every 64 KiB a record that checks them; a tail. Headers have 16,384 bytes and a sum of their bytes behind.
"""

import struct
import zlib
from typing import IO

from pragmaspec.errors import ImageError

VOLUME_BYTES = 512
_HEADER_BYTES = 16384
_CHECK_EVERY = 65536
_CHECK_BYTES = 16
_EXTENSIONS = 10
_MOST_BITMAP_BYTES = 2**28
_BLOCK_BYTES = range(512, 65537)


def restore_partimage(source: IO[bytes], target: IO[bytes], offset: int, most_bytes: int) -> int:
    """Write the file system in the image ``source`` into ``target`` from ``offset``; how many bytes it fills.

    Writes nothing when it is larger than ``most_bytes``. Raises ImageError when the image is damaged or of another version.
    """
    volume = _take(source, VOLUME_BYTES)
    if not volume.startswith(b"PaRtImAgE-VoLuMe\0") or not volume[32:].startswith(b"0.6.1\0"):
        raise _damaged("it is not an image of partimage 0.6.1")
    _header(source)
    _mark(source, b"MAGIC-BEGIN-MBRBACKUP")
    for number in range(_EXTENSIONS):
        _mark(source, f"MAGIC-BEGIN-EXT{number:03}".encode())
        (length,) = struct.unpack("<I", _take(source, 4))
        if length:
            raise _damaged("it has an extension that is not known")
    _mark(source, b"MAGIC-BEGIN-LOCALHEADER")
    block: int
    count: int
    block, used, count, bitmap_bytes = struct.unpack_from("<4Q", _header(source))
    if (
        block not in _BLOCK_BYTES
        or block & (block - 1)
        or used > count
        or not count <= bitmap_bytes * 8 <= _MOST_BITMAP_BYTES * 8
    ):
        raise _damaged("its sizes do not fit each other")
    if count * block > most_bytes:
        return count * block
    _mark(source, b"MAGIC-BEGIN-BITMAP")
    bitmap = _take(source, bitmap_bytes)
    _mark(source, b"MAGIC-BEGIN-INFO")
    _header(source)
    _mark(source, b"MAGIC-BEGIN-DATABLOCKS")
    _blocks(source, target, offset, block, _used(bitmap, count))
    _mark(source, b"MAGIC-BEGIN-TAIL")
    while source.read(_CHECK_EVERY):
        pass
    return count * block


def _used(bitmap: bytes, count: int) -> list[tuple[int, int]]:
    """Runs of used blocks: the first, and how many."""
    runs: list[tuple[int, int]] = []
    for index, byte in enumerate(bitmap[: -(-count // 8)]):
        for bit, length in _RUNS[byte]:
            first = index * 8 + bit
            if runs and sum(runs[-1]) == first:
                runs[-1] = (runs[-1][0], runs[-1][1] + length)
            else:
                runs.append((first, length))
    if runs and sum(runs[-1]) > count:
        raise _damaged("it has blocks behind its end")
    return runs


def _runs_of(byte: int) -> list[tuple[int, int]]:
    """The runs of ones in a byte, from its lowest bit: where each begins, and how long it is."""
    found: list[tuple[int, int]] = []
    for bit in range(8):
        if byte >> bit & 1:
            if found and sum(found[-1]) == bit:
                found[-1] = (found[-1][0], found[-1][1] + 1)
            else:
                found.append((bit, 1))
    return found


_RUNS = [_runs_of(byte) for byte in range(256)]


def _blocks(source: IO[bytes], target: IO[bytes], offset: int, block: int, runs: list[tuple[int, int]]) -> None:
    since, crc = 0, 0
    for first, length in runs:
        target.seek(offset + first * block)
        left = length * block
        while left:
            piece = _take(source, min(left, _CHECK_EVERY - since))
            target.write(piece)
            # Partimage goes on with the sum it had, and never ends it.
            crc = zlib.crc32(piece, crc)
            since += len(piece)
            left -= len(piece)
            if since == _CHECK_EVERY:
                check = _take(source, _CHECK_BYTES)
                if not check.startswith(b"CHK\0") or struct.unpack_from("<I", check, 4)[0] != crc:
                    raise _damaged("a check sum in it is wrong")
                since, crc = 0, 0


def _header(source: IO[bytes]) -> bytes:
    header = _take(source, _HEADER_BYTES)
    (wanted,) = struct.unpack("<I", _take(source, 4))
    # Its bytes are added as signed ones.
    if (sum(header) - 256 * sum(byte > 127 for byte in header)) & 0xFFFFFFFF != wanted:  # noqa: PLR2004 - a signed byte's most
        raise _damaged("the sum of a header is wrong")
    return header


def _mark(source: IO[bytes], mark: bytes) -> None:
    if _take(source, len(mark)) != mark:
        raise _damaged(f"{mark.decode()} is not where it has to be")


def _take(source: IO[bytes], length: int) -> bytes:
    taken = source.read(length)
    if len(taken) < length:
        raise _damaged("it breaks off before its end")
    return taken


def _damaged(why: str) -> ImageError:
    return ImageError("Image is damaged", f"An image of partimage cannot be restored: {why}.")
