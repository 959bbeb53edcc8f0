"""Streaming compression: the same input gives the same output."""

import bz2
import gzip
import lzma
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

COMPRESSION_SUFFIXES = ("gz", "xz", "bz2", "zst")
"""Suffixes of compressed files that :func:`compressed_writer` can write."""
_ZSTD_LEVEL = _XZ_LEVEL = _GZIP_LEVEL = 6


@contextmanager
def compressed_writer(suffix: str, file: Path) -> Iterator[Callable[[bytes], int]]:
    """Create ``file`` and yield the function that writes compressed bytes to it."""
    with file.open("xb") as target:
        if suffix == "gz":
            with gzip.GzipFile(filename="", mode="wb", compresslevel=_GZIP_LEVEL, fileobj=target, mtime=0) as gz:
                yield gz.write
        elif suffix == "xz":
            with lzma.LZMAFile(target, "wb", preset=_XZ_LEVEL) as xz:
                yield xz.write
        elif suffix == "bz2":
            with bz2.BZ2File(target, "wb") as bzip2:
                yield bzip2.write
        else:
            from pragmaspec.images.zstd import CompressionParameter, ZstdFile  # noqa: PLC0415 - rarely needed

            options: dict[int, int] = {CompressionParameter.compression_level: _ZSTD_LEVEL, CompressionParameter.checksum_flag: 1}
            with ZstdFile(target, "wb", options=options) as zst:
                yield zst.write
