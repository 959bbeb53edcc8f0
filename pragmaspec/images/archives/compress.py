"""Compressing a file as it is written: the same bytes in give the same bytes out."""

import bz2
import gzip
import lzma
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

COMPRESSION_SUFFIXES = ("gz", "xz", "bz2", "zst")
"""Endings of compressed files, as :func:`compressed_writer` takes them."""
_ZSTD_LEVEL = _XZ_LEVEL = _GZIP_LEVEL = 6


@contextmanager
def compressed_writer(ending: str, file: Path) -> Iterator[Callable[[bytes], int]]:
    """What to give the bytes to, for the new compressed ``file``."""
    with file.open("xb") as target:
        if ending == "gz":
            with gzip.GzipFile(filename="", mode="wb", compresslevel=_GZIP_LEVEL, fileobj=target, mtime=0) as packed:
                yield packed.write
        elif ending == "xz":
            with lzma.LZMAFile(target, "wb", preset=_XZ_LEVEL) as packed_xz:
                yield packed_xz.write
        elif ending == "bz2":
            with bz2.BZ2File(target, "wb") as packed_bz2:
                yield packed_bz2.write
        else:
            import zstandard  # noqa: PLC0415 - only for files that need it

            with zstandard.ZstdCompressor(level=_ZSTD_LEVEL, write_checksum=True).stream_writer(
                target, closefd=False
            ) as packed_zst:
                yield packed_zst.write
