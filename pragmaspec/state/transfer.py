"""Replacing a recorded state as a whole: by a text, by one of its versions, or by the state of another store."""

from msgspec.structs import replace

from pragmaspec.errors import StateUnreadableError, StateUnwritableError, UsageError
from pragmaspec.state.backends.base import RawState
from pragmaspec.state.journal import Tail
from pragmaspec.state.load import LoadedState, decode_raw_state, decrypt_snapshot
from pragmaspec.state.snapshot import Snapshot, decode_edited, decode_snapshot, encode_snapshot, serial_of
from pragmaspec.state.store import LockedStore, Store
from pragmaspec.state_model import State

_PUSHED = "the text"


def pull(store: Store) -> str:
    """Return the text of a ``state.json`` with everything that is recorded, unencrypted. Raises UsageError if nothing is."""
    loaded = store.load()
    if not loaded.exists:
        raise _nothing_recorded(store)
    tail = loaded.tail
    return encode_snapshot(Snapshot(state=loaded.state, applied_seq=tail.seq, applied_sha256=tail.sha256)).decode()


def push(store: Store, text: str) -> State:
    """Record the state in ``text``, which :func:`pull` returned, and return the recorded state.

    An edited text must not contain the line ``sha256``. Raises StateUnreadableError for a text that is not a state, UsageError
    for one of another stack or older than the recorded one.
    """
    data, _ = decrypt_snapshot(text.encode(), _PUSHED, store.cipher)
    pushed = decode_edited(data, _PUSHED)
    with store.open_locked("state push", pushed.state.lineage) as opened:
        loaded = opened.loaded
        if loaded.exists:
            _check_lineage(pushed.state, loaded.state, store)
            if (pushed.state.serial, pushed.applied_seq) < (loaded.serial, loaded.tail.seq):
                raise UsageError(
                    "The pushed state is older than the recorded one",
                    f"The text has serial {pushed.state.serial} and journal line {pushed.applied_seq}; the recorded state has "
                    f"serial {loaded.serial} and line {loaded.tail.seq}: another run has changed it. Pull again and repeat the "
                    "edit. To go back, use `pragmaspec state restore`. Nothing was changed.",
                )
        return _write(opened, pushed.state, Tail(seq=pushed.applied_seq, sha256=pushed.applied_sha256))


def restore(store: Store, serial: int) -> State:
    """Record the version ``serial`` again under a new, higher serial, even if the current state is unreadable.

    Raises UsageError if there is no such version, or if an interrupted run continued from another one.
    """
    text = store.backend.version(serial)
    name = f"serial {serial} of {store.backend.title}"
    snapshot = decode_snapshot(decrypt_snapshot(text, name, store.cipher)[0], name)
    with store.locked("state restore") as backend:
        raw = backend.read()
        current = _readable_state(raw, store)
        if current is not None:
            _check_lineage(snapshot.state, current.state, store)
        loaded = store.with_local_spills(current or _resumed(raw, text, serial, store))
        state = snapshot.state if current else loaded.state
        seen = store.last_seen(state.lineage)
        newest = max(loaded.serial, serial, seen.serial if seen else 0, serial_of(raw.snapshot or b"") or 0)
        restored = replace(state, serial=newest + 1)
        store.writer(backend, loaded).write_snapshot(restored)
        return restored


def copy_state(source: Store, target: Store) -> State:
    """Record the state of ``source`` in ``target``, under both locks, read it back, and return it.

    From then on this machine considers the state in ``source`` outdated. Raises UsageError if ``target`` contains another stack,
    or a newer state of this one.
    """
    with source.open_locked("state migrate") as origin:
        if not origin.loaded.exists:
            raise _nothing_recorded(source)
        state = origin.loaded.state
        with target.open_locked("state migrate", state.lineage) as destination:
            if destination.loaded.exists:
                _check_lineage(state, destination.loaded.state, target)
                if destination.loaded.serial >= state.serial:
                    raise UsageError(
                        "The target contains a newer state",
                        f"{target.backend.title} has serial {destination.loaded.serial} of this stack, and "
                        f"{source.backend.title} has serial {state.serial}. It may have been migrated already: use the target. "
                        "Nothing was changed.",
                    )
            written = _write(destination, state, origin.loaded.tail)
            found = decode_raw_state(destination.backend.read(), None, target.cipher).state
    if found != written:
        raise StateUnwritableError(
            "The state cannot be written",
            f"{target.backend.title} returns another state than the one written to it. Continue to use {source.backend.title}.",
        )
    return written


def _write(opened: LockedStore, state: State, tail: Tail) -> State:
    """Write ``state``, whose last journal line is ``tail``, as the next snapshot."""
    serial = max(state.serial, opened.loaded.serial if opened.loaded.exists else 0) + 1
    written = replace(state, serial=serial)
    opened.writer.write_snapshot(written, tail)
    return written


def _readable_state(raw: RawState, store: Store) -> LoadedState | None:
    """Return the state in ``raw``; None if there is none, or if it is unreadable or its journal extends another snapshot."""
    try:
        loaded = decode_raw_state(raw, None, store.cipher)
    except StateUnreadableError:
        return None
    return loaded if loaded.exists else None


def _resumed(raw: RawState, text: bytes, serial: int, store: Store) -> LoadedState:
    """Return the version ``text``, with serial ``serial``, and the journal in which an interrupted run extended it."""
    later = [journal for journal in raw.journals if journal.serial > serial]
    if later:
        raise UsageError(
            "An interrupted run continued another version",
            f"{later[0].name} extends serial {later[0].serial}, not {serial}: `pragmaspec state restore {later[0].serial}` keeps "
            f"what it records. If serial {serial} is intended, move that file away first. Nothing was changed.",
        )
    journals = tuple(journal for journal in raw.journals if journal.serial == serial)
    return decode_raw_state(raw._replace(snapshot=text, journals=journals), None, store.cipher)


def _check_lineage(state: State, recorded: State, store: Store) -> None:
    if state.lineage != recorded.lineage:
        raise UsageError(
            "This is the state of another stack",
            f"Its lineage is {state.lineage}; {store.backend.title} contains lineage {recorded.lineage}. Nothing was changed.",
        )


def _nothing_recorded(store: Store) -> UsageError:
    return UsageError("Nothing is recorded yet", f"There is no state at {store.backend.title}.")
