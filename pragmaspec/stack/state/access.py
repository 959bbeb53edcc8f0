"""Opens the state store of a stack, with the checks before the first write."""

from pathlib import Path
from typing import TYPE_CHECKING

from pragmaspec.errors import UsageError
from pragmaspec.stack.location import StackLocation, is_url

if TYPE_CHECKING:
    from pragmaspec.state.store import Store
    from pragmaspec.state_model import State


def open_store(location: StackLocation, *, accept_rollback: bool = False) -> "Store":
    """Return the store of ``location``; opens no connection. Raises UsageError for an unsupported URL or one with a password."""
    return store_at(location.state, encrypt=location.encrypt, accept_rollback=accept_rollback)


def store_at(where: str, *, encrypt: bool | None = None, accept_rollback: bool = False) -> "Store":
    """Return the store at ``where``, a directory or a URL. Raises UsageError, as :func:`open_store`."""
    from pragmaspec.state.backends.registry import open_backend
    from pragmaspec.state.store import Store

    if is_url(where):
        from pragmaspec.credentials import check_state_url

        check_state_url(where)
    return Store(open_backend(where, Path()), encrypt=encrypt, accept_rollback=accept_rollback)


def recorded_lineage(store: "Store") -> str:
    """Return the lineage of the stack in ``store``. Raises UsageError before the first apply, which assigns it."""
    loaded = store.load()
    if not loaded.exists:
        raise UsageError(
            "Nothing is recorded yet",
            f"There is no state at {store.backend.title}, so the stack has no lineage and no key yet. The first "
            "`pragmaspec apply` creates both.",
        )
    return loaded.state.lineage


def decode_state(store: "Store", text: bytes, name: str) -> "State":
    """Return the state in ``text``, possibly edited by hand; ``name``: its source. Raises StateUnreadableError."""
    from pragmaspec.state.load import decrypt_snapshot
    from pragmaspec.state.snapshot import decode_edited

    return decode_edited(decrypt_snapshot(text, name, store.cipher)[0], name).state


def refuse_unmigrated_state(location: StackLocation, store: "Store") -> None:
    """Raise UsageError if the ``state:`` of the spec is empty, while there is a state in the default directory.

    Planning from an empty state would create everything a second time.
    """
    default = location.default_state
    if not location.state_from_spec or default is None or not (default / "state.json").is_file() or store.exists():
        return
    raise UsageError(
        "The state has not been migrated",
        f"The spec sets the state to {store.backend.title}, which is empty, but {default} contains "
        "one. Run `pragmaspec state migrate` to copy it. If that directory belongs to something else, move it away. Nothing "
        "was changed.",
    )


def take_over_lock(store: "Store") -> None:
    """Break the lock, if it is held. Raises UsageError for a backend that releases the lock of a dead holder by itself."""
    holder = store.backend.holder()
    if holder is not None:
        store.backend.break_lock(holder.id)
