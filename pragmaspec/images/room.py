"""A full file system in words for people."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from pragmaspec.errors import ImageError, Problem
from pragmaspec.images.store import BlobStore

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@contextmanager
def room_in(store: BlobStore, name: str) -> Iterator[None]:
    """Work on the image ``name`` that may fill the store's file system: that becomes an ImageError."""
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        detail = (
            f"{store.directory} is full ({error.strerror}), before {name} was whole. Free some space, or set PRAGMASPEC_IMAGES "
            "to a directory that has it."
        )
        raise ImageError(Problem(summary="No room for the image", detail=detail)) from None
