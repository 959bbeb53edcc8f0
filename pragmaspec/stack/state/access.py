"""Where the state of a stack is recorded: opening the place, and what is checked before anything is written there."""

from pathlib import Path
from typing import TYPE_CHECKING

from pragmaspec.errors import UsageError
from pragmaspec.stack.location import StackLocation, is_url

if TYPE_CHECKING:
    from pragmaspec.state.store import Store
    from pragmaspec.state_model import State


def open_store(place: StackLocation, *, accept_rollback: bool = False) -> "Store":
    """The store of ``place``; contacts nothing. Raises UsageError for a URL that nothing reads, or that holds a password."""
    return store_at(place.state, encrypt=place.encrypt, accept_rollback=accept_rollback)


def store_at(where: str, *, encrypt: bool | None = None, accept_rollback: bool = False) -> "Store":
    """The store at ``where``, the path of a folder or a URL. Raises UsageError, as :func:`open_store`."""
    from pragmaspec.state.backends.registry import open_backend
    from pragmaspec.state.store import Store

    if is_url(where):
        from pragmaspec.credentials import check_state_url

        check_state_url(where)
    return Store(open_backend(where, Path()), encrypt=encrypt, accept_rollback=accept_rollback)


def recorded_lineage(store: "Store") -> str:
    """The name of the stack in ``store``. Raises UsageError when nothing is recorded there: then the stack has none yet."""
    loaded = store.load()
    if not loaded.exists:
        raise UsageError(
            "Nothing is recorded yet",
            f"There is no state at {store.backend.title}, so the stack has no name and no key: the first "
            "`pragmaspec apply` makes both.",
        )
    return loaded.state.lineage


def decode_state(store: "Store", text: bytes, name: str) -> "State":
    """The state in ``text``, which was found at ``name``; a person may have edited it. Raises StateUnreadableError."""
    from pragmaspec.state.load import decrypt_snapshot
    from pragmaspec.state.snapshot import decode_edited

    return decode_edited(decrypt_snapshot(text, name, store.cipher)[0], name).state


def refuse_unmigrated_state(place: StackLocation, store: "Store") -> None:
    """Raise UsageError when the spec names a new place that is empty, while the state still stands where it usually does.

    Planning from nothing would make everything a second time.
    """
    usual = place.default_state
    if not place.state_from_spec or usual is None or not (usual / "state.json").is_file() or store.exists():
        return
    raise UsageError(
        "The state is still in its old place",
        f"The spec says that the state is recorded at {store.backend.title}, where nothing is yet, but {usual} holds "
        "one. Bring it over with `pragmaspec state migrate`. If that folder belongs to something else, move it away. Nothing "
        "was changed.",
    )


def take_over_lock(store: "Store") -> None:
    """Take the lock from whoever holds it; free: nothing to do. Raises UsageError where a dead holder's lock frees itself."""
    holder = store.backend.holder()
    if holder is not None:
        store.backend.break_lock(holder.id)
