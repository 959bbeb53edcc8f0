"""Who uses the store: the stacks of this machine, each with the images that its spec resolved to.

Kept in ``<store>/users``, a small file each, written whenever a spec is read anew. By it ``image prune`` knows what it must not
remove: nothing else in the store tells who needs a file.
"""

from hashlib import sha256
from pathlib import Path

import msgspec

from pragmaspec.errors import ImageError
from pragmaspec.frozen import Frozen
from pragmaspec.images.store.blobs import BlobStore


class StackUsage(Frozen, frozen=True):
    """A stack. ``spec``: the absolute path of its file, empty when only the state was named; ``state``: absolute path or URL.

    ``images``: the digests that the spec meant when it was last read.
    """

    spec: str
    state: str
    images: tuple[str, ...] = ()

    @property
    def shown(self) -> str:
        """How people know it."""
        return self.spec or self.state


def record_usage(store: BlobStore, user: StackUsage) -> None:
    """Keep ``user`` in place of what was kept of the same spec and state."""
    file = _file(store, user)
    if _read(file) != user:
        store.remember(file, msgspec.json.encode(user))


def remove_usage(store: BlobStore, user: StackUsage) -> None:
    """Remove ``user``: what it needs is no longer kept for it."""
    _file(store, user).unlink(missing_ok=True)


def stack_usages(store: BlobStore) -> tuple[StackUsage, ...]:
    """Everybody who is known, by spec. Raises ImageError when an entry is damaged: then nobody knows who is meant."""
    found = {file: _read(file) for file in (store.directory / "users").glob("*.json")}
    damaged = sorted(str(file) for file, user in found.items() if user is None)
    if damaged:
        raise ImageError(
            "Image store damaged",
            f"{', '.join(damaged)} cannot be read, so nobody knows which stack it means. Delete it, and run "
            "`pragmaspec plan` once for each of your stacks.",
        )
    return tuple(sorted((user for user in found.values() if user), key=lambda user: (user.spec, user.state)))


def _read(file: Path) -> StackUsage | None:
    try:
        return msgspec.json.decode(file.read_bytes(), type=StackUsage)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return None


def _file(store: BlobStore, user: StackUsage) -> Path:
    key = sha256(f"{user.spec}\n{user.state}".encode()).hexdigest()
    return store.directory / "users" / f"{key[:32]}.json"
