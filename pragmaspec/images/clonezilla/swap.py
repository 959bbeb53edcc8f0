"""A swap area as ``mkswap`` makes it: one page at its beginning. Source: the kernel's ``include/linux/swap.h``."""

import struct
from uuid import UUID, uuid5

PAGE_BYTES = 4096
_SPACE = UUID("1b3c6d1e-5a53-5c0b-9c43-3a8d3e0f6a11")
_LABEL_BYTES = 16


def swap_page(size_bytes: int, uuid: str, label: str) -> bytes:
    """The first page of a swap area of ``size_bytes``. Without ``uuid`` it gets one that is always the same."""
    identity = UUID(uuid) if uuid else uuid5(_SPACE, f"{label} {size_bytes}")
    page = bytearray(PAGE_BYTES)
    struct.pack_into("<III", page, 1024, 1, size_bytes // PAGE_BYTES - 1, 0)
    page[1036:1052] = identity.bytes
    named = label.encode()[: _LABEL_BYTES - 1]
    page[1052 : 1052 + len(named)] = named
    page[-10:] = b"SWAPSPACE2"
    return bytes(page)
