"""The stacks of this machine that use the store, each with the images of its spec.

Each is a small file in ``<store>/users``, written whenever a spec is resolved. ``image prune`` needs them: nothing else in the
store records which files are in use.
"""

from hashlib import sha256
from pathlib import Path

import msgspec

from pragmaspec.errors import ImageError
from pragmaspec.frozen import Frozen
from pragmaspec.images.store.blobs import BlobStore


class StackUsage(Frozen, frozen=True):
    """A stack. ``spec``: absolute path of its file, empty if only the state is known; ``state``: absolute path or URL.

    ``images``: the digests of the spec's images when it was last resolved.
    """

    spec: str
    state: str
    images: tuple[str, ...] = ()

    @property
    def shown(self) -> str:
        """Display name."""
        return self.spec or self.state


def record_usage(store: BlobStore, usage: StackUsage) -> None:
    """Record the usage of a stack, replacing that of the same spec and state."""
    file = _file(store, usage)
    if _read(file) != usage:
        store.remember(file, msgspec.json.encode(usage))


def remove_usage(store: BlobStore, usage: StackUsage) -> None:
    """Remove the usage of a stack."""
    _file(store, usage).unlink(missing_ok=True)


def stack_usages(store: BlobStore) -> tuple[StackUsage, ...]:
    """Return all usages, sorted by spec. Raises ImageError if one is damaged, because its stack is then unknown."""
    found = {file: _read(file) for file in (store.directory / "users").glob("*.json")}
    damaged = sorted(str(file) for file, usage in found.items() if usage is None)
    if damaged:
        raise ImageError(
            "The image store is damaged",
            f"{', '.join(damaged)} cannot be read, so the stack that it belongs to is unknown. Delete it, and run "
            "`pragmaspec plan` once for each of your stacks.",
        )
    return tuple(sorted((usage for usage in found.values() if usage), key=lambda usage: (usage.spec, usage.state)))


def _read(file: Path) -> StackUsage | None:
    try:
        return msgspec.json.decode(file.read_bytes(), type=StackUsage)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return None


def _file(store: BlobStore, usage: StackUsage) -> Path:
    key = sha256(f"{usage.spec}\n{usage.state}".encode()).hexdigest()
    return store.directory / "users" / f"{key[:32]}.json"
