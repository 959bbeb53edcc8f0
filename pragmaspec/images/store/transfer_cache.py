"""Cache of transfers, so that nothing is transferred twice.

Each entry is a small private file in ``<store>/fetched``, without URLs that have a query. Damaged entries are ignored.
"""

from hashlib import sha256
from pathlib import Path

import msgspec

from pragmaspec.frozen import Frozen
from pragmaspec.images.store.blobs import BlobStore
from pragmaspec.images.store.fetched import Fetched


class CachedTransfer(Frozen, frozen=True):
    """A complete and verified transfer. ``etag``: a strong one, to ask the server if the file has changed."""

    fetched: Fetched
    etag: str = ""


def cached_transfer(store: BlobStore, key: str) -> CachedTransfer | None:
    """Return the transfer for ``key``: a digest, or a name of the request."""
    try:
        return msgspec.json.decode(_file(store, key).read_bytes(), type=CachedTransfer)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return None


def cache_transfer(store: BlobStore, key: str, transfer: CachedTransfer) -> None:
    """Record the transfer for ``key``."""
    store.remember(_file(store, key), msgspec.json.encode(transfer))


def _file(store: BlobStore, key: str) -> Path:
    return store.directory / "fetched" / f"{sha256(key.encode()).hexdigest()[:32]}.json"
