"""What was transferred before, remembered, so that nothing is transferred twice.

Kept in ``<store>/fetched``, a small file each; private, though no URL with a query is kept. A damaged one is none.
"""

from hashlib import sha256
from pathlib import Path

import msgspec

from pragmaspec.frozen import Frozen
from pragmaspec.images.store.blobs import BlobStore
from pragmaspec.images.store.fetched import Fetched


class CachedTransfer(Frozen, frozen=True):
    """A transfer that was whole and right. ``etag``: a strong one, by which its server can be asked whether the file changed."""

    fetched: Fetched
    etag: str = ""


def cached_transfer(store: BlobStore, key: str) -> CachedTransfer | None:
    """What came for ``key``: a digest, or what it was asked for by."""
    try:
        return msgspec.json.decode(_file(store, key).read_bytes(), type=CachedTransfer)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return None


def cache_transfer(store: BlobStore, key: str, transfer: CachedTransfer) -> None:
    """Keep what came for ``key``."""
    store.remember(_file(store, key), msgspec.json.encode(transfer))


def _file(store: BlobStore, key: str) -> Path:
    return store.directory / "fetched" / f"{sha256(key.encode()).hexdigest()[:32]}.json"
