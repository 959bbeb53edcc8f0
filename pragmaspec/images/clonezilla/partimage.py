"""Images of partimage, which Clonezilla used before partclone; read here, because partimage itself needs a device and root.

Layout of version 0.6.1, the only one since 2003, with little-endian numbers: a volume header of 512 bytes; a main header; the
markers of ten extensions; a local header with size and number of blocks; a bitmap of used blocks; file system information; the
used blocks in order, with a check record after every 64 KiB; a tail. Headers have 16,384 bytes and are followed by the sum of
their bytes.
"""

import struct
import zlib
from typing import IO

from pragmaspec.errors import ImageError

VOLUME_HEADER_BYTES = 512
_HEADER_BYTES = 16384
_CHECK_INTERVAL_BYTES = 65536
_CHECK_BYTES = 16
_EXTENSIONS = 10
_MAX_BITMAP_BYTES = 2**28
_BLOCK_BYTES = range(512, 65537)


def restore_partimage(source: IO[bytes], target: IO[bytes], offset: int, max_bytes: int) -> int:
    """Write the file system in the image ``source`` into ``target`` at ``offset``, and return its size in bytes.

    Nothing is written if the size exceeds ``max_bytes``. Raises ImageError if the image is damaged or of another version.
    """
    volume = _read(source, VOLUME_HEADER_BYTES)
    if not volume.startswith(b"PaRtImAgE-VoLuMe\0") or not volume[32:].startswith(b"0.6.1\0"):
        raise _damaged("it is not an image of partimage 0.6.1")
    _read_header(source)
    _expect_marker(source, b"MAGIC-BEGIN-MBRBACKUP")
    for number in range(_EXTENSIONS):
        _expect_marker(source, f"MAGIC-BEGIN-EXT{number:03}".encode())
        (length,) = struct.unpack("<I", _read(source, 4))
        if length:
            raise _damaged("it has an unknown extension")
    _expect_marker(source, b"MAGIC-BEGIN-LOCALHEADER")
    block_bytes: int
    count: int
    block_bytes, used, count, bitmap_bytes = struct.unpack_from("<4Q", _read_header(source))
    if (
        block_bytes not in _BLOCK_BYTES
        or block_bytes & (block_bytes - 1)
        or used > count
        or not count <= bitmap_bytes * 8 <= _MAX_BITMAP_BYTES * 8
    ):
        raise _damaged("its sizes are inconsistent")
    if count * block_bytes > max_bytes:
        return count * block_bytes
    _expect_marker(source, b"MAGIC-BEGIN-BITMAP")
    bitmap = _read(source, bitmap_bytes)
    _expect_marker(source, b"MAGIC-BEGIN-INFO")
    _read_header(source)
    _expect_marker(source, b"MAGIC-BEGIN-DATABLOCKS")
    _copy_blocks(source, target, offset, block_bytes, _used_runs(bitmap, count))
    _expect_marker(source, b"MAGIC-BEGIN-TAIL")
    while source.read(_CHECK_INTERVAL_BYTES):
        pass
    return count * block_bytes


def _used_runs(bitmap: bytes, count: int) -> list[tuple[int, int]]:
    """Return the runs of used blocks: the first block and the length of each."""
    runs: list[tuple[int, int]] = []
    for index, byte in enumerate(bitmap[: -(-count // 8)]):
        for bit, length in _RUNS[byte]:
            first = index * 8 + bit
            if runs and sum(runs[-1]) == first:
                runs[-1] = (runs[-1][0], runs[-1][1] + length)
            else:
                runs.append((first, length))
    if runs and sum(runs[-1]) > count:
        raise _damaged("it has blocks after its end")
    return runs


def _runs_of(byte: int) -> list[tuple[int, int]]:
    """Return the runs of ones in a byte, from its lowest bit: start and length of each."""
    runs: list[tuple[int, int]] = []
    for bit in range(8):
        if byte >> bit & 1:
            if runs and sum(runs[-1]) == bit:
                runs[-1] = (runs[-1][0], runs[-1][1] + 1)
            else:
                runs.append((bit, 1))
    return runs


_RUNS = [_runs_of(byte) for byte in range(256)]


def _copy_blocks(source: IO[bytes], target: IO[bytes], offset: int, block_bytes: int, runs: list[tuple[int, int]]) -> None:
    since_check, crc = 0, 0
    for first, length in runs:
        target.seek(offset + first * block_bytes)
        left = length * block_bytes
        while left:
            chunk = _read(source, min(left, _CHECK_INTERVAL_BYTES - since_check))
            target.write(chunk)
            # The CRC continues from run to run; the last, incomplete interval has no check record.
            crc = zlib.crc32(chunk, crc)
            since_check += len(chunk)
            left -= len(chunk)
            if since_check == _CHECK_INTERVAL_BYTES:
                check = _read(source, _CHECK_BYTES)
                if not check.startswith(b"CHK\0") or struct.unpack_from("<I", check, 4)[0] != crc:
                    raise _damaged("one of its checksums is wrong")
                since_check, crc = 0, 0


def _read_header(source: IO[bytes]) -> bytes:
    header = _read(source, _HEADER_BYTES)
    (expected,) = struct.unpack("<I", _read(source, 4))
    # partimage adds the bytes as signed ones.
    if (sum(header) - 256 * sum(byte > 127 for byte in header)) & 0xFFFFFFFF != expected:  # noqa: PLR2004 - the largest signed byte
        raise _damaged("the checksum of a header is wrong")
    return header


def _expect_marker(source: IO[bytes], marker: bytes) -> None:
    if _read(source, len(marker)) != marker:
        raise _damaged(f"{marker.decode()} is not at its place")


def _read(source: IO[bytes], length: int) -> bytes:
    content = source.read(length)
    if len(content) < length:
        raise _damaged("it is truncated")
    return content


def _damaged(reason: str) -> ImageError:
    return ImageError("Image is damaged", f"An image of partimage cannot be restored: {reason}.")
