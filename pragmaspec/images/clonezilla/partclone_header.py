"""The beginning of a partclone image: of how large a file system it is. Source: partclone's ``src/partclone.h`` (0.3.23)."""

import struct

from pragmaspec.frozen import Frozen

HEADER_BYTES = 112
_MAGIC = b"partclone-image"


class PartcloneHeader(Frozen, frozen=True):
    """``device_bytes``: what the restored file system fills; ``used_bytes``: what of it is in the image."""

    version: str
    device_bytes: int
    used_bytes: int


def read_header(start: bytes) -> PartcloneHeader | None:
    """The header in the first 112 bytes of an image; None when it is not one of partclone's, or of an unknown version."""
    if not start.startswith(_MAGIC) or len(start) < HEADER_BYTES:
        return None
    if start[30:34] == b"0002":
        device, _, used, _, block = struct.unpack_from("<QQQQI", start, 52)
        return PartcloneHeader(version="0002", device_bytes=device, used_bytes=used * block)
    if start[30:34] == b"0001":
        block, device, _, used = struct.unpack_from("<iQQQ", start, 36)
        return PartcloneHeader(version="0001", device_bytes=device, used_bytes=used * block)
    return None
