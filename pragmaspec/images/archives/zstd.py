"""Zstandard from the standard library, or from its backport before Python 3.14."""

import sys

if sys.version_info >= (3, 14):
    from compression.zstd import CompressionParameter, DecompressionParameter, ZstdDecompressor, ZstdError, ZstdFile
else:
    from backports.zstd import CompressionParameter, DecompressionParameter, ZstdDecompressor, ZstdError, ZstdFile

__all__ = ["CompressionParameter", "DecompressionParameter", "ZstdDecompressor", "ZstdError", "ZstdFile"]
