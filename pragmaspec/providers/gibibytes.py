"""Sizes of disks at sites that count them in GiB."""

GIB = 2**30


def whole_gib(size_bytes: int) -> int:
    """Return the size in GiB, rounded up."""
    return -(-size_bytes // GIB)
