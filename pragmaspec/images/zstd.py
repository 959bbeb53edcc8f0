"""Zstandard from the standard library, or from its backport before Python 3.14."""

import sys

if sys.version_info >= (3, 14):
    from compression.zstd import CompressionParameter, DecompressionParameter, ZstdDecompressor, ZstdError, ZstdFile
else:
    from backports.zstd import CompressionParameter, DecompressionParameter, ZstdDecompressor, ZstdError, ZstdFile

__all__ = ["CompressionParameter", "ZstdError", "ZstdFile", "new_decoder"]

_WINDOW_LOG = 27
"""Base-2 logarithm of the largest window that ``zstd`` reads by default."""


def new_decoder() -> ZstdDecompressor:
    """Return a decoder of one frame that refuses windows larger than 128 MiB."""
    return ZstdDecompressor(options={DecompressionParameter.window_log_max: _WINDOW_LOG})
