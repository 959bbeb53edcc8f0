"""Replacing a recorded state as a whole: from a text, from a kept version, from another place."""

from typing import TYPE_CHECKING

from msgspec.structs import replace

from pragmaspec.errors import StateUnreadableError, StateUnwritableError, UsageError
from pragmaspec.state.backends.base import RawState
from pragmaspec.state.journal import Tail
from pragmaspec.state.load import LoadedState, decode_raw_state, decrypt_snapshot
from pragmaspec.state.snapshot import Snapshot, decode_edited, decode_snapshot, encode_snapshot, serial_of
from pragmaspec.state_model import State

if TYPE_CHECKING:
    from pragmaspec.state.store import LockedStore, Store

_PUSHED = "the text"


def pull(store: "Store") -> str:
    """The text of a ``state.json`` with everything recorded in ``store``."""
    loaded = store.load()
    if not loaded.on_disk:
        raise _nothing(store)
    tail = loaded.tail
    return encode_snapshot(Snapshot(state=loaded.ledger.state, applied_seq=tail.seq, applied_sha256=tail.sha256)).decode()


def push(store: "Store", text: str) -> State:
    """Record what ``text`` says."""
    data, _ = decrypt_snapshot(text.encode(), _PUSHED, store.seal)
    pushed = decode_edited(data, _PUSHED)
    with store.opened("state push", pushed.state.lineage) as opened:
        if opened.loaded.on_disk:
            _refuse_other(pushed.state, opened.loaded.ledger.state, store)
            if (pushed.state.serial, pushed.applied_seq) < (opened.loaded.serial, opened.loaded.tail.seq):
                raise UsageError(
                    "The pushed state is older than the recorded one",
                    f"The text has serial {pushed.state.serial} and line {pushed.applied_seq} of the journal; "
                    f"recorded are serial {opened.loaded.serial} and line {opened.loaded.tail.seq}: a run came between. "
                    "Pull again and make the change there. To go back, use `pragmaspec state restore`. Nothing was "
                    "changed.",
                )
        return _put(opened, pushed.state, Tail(seq=pushed.applied_seq, sha256=pushed.applied_sha256))


def restore(store: "Store", serial: int) -> State:
    """Record what the kept version ``serial`` says."""
    text = store.ground.version(serial)
    name = f"serial {serial} of {store.ground.title}"
    snapshot = decode_snapshot(decrypt_snapshot(text, name, store.seal)[0], name)
    with store.locked("state restore") as held:
        stored = held.read()
        standing = _standing(stored, store)
        if standing is not None:
            _refuse_other(snapshot.state, standing.ledger.state, store)
        loaded = store.with_own_spills(standing or _resumed(stored, text, serial, store))
        state = snapshot.state if standing else loaded.ledger.state
        seen = store.seen(state.lineage)
        newest = max(loaded.serial, serial, seen.serial if seen else 0, serial_of(stored.snapshot or b"") or 0)
        written = replace(state, serial=newest + 1)
        store.writer(held, loaded).snapshot(written)
        return written


def copy_state(store: "Store", other: "Store") -> State:
    """Record in ``other`` what is recorded in ``store``."""
    with store.opened("state migrate") as source:
        if not source.loaded.on_disk:
            raise _nothing(store)
        state = source.loaded.ledger.state
        with other.opened("state migrate", state.lineage) as target:
            if target.loaded.on_disk:
                _refuse_other(state, target.loaded.ledger.state, other)
                if target.loaded.serial >= state.serial:
                    raise UsageError(
                        "The target holds a newer state",
                        f"{other.ground.title} has serial {target.loaded.serial} of this stack, and "
                        f"{store.ground.title} has serial {state.serial}. It may have been moved already: use the target. "
                        "Nothing was changed.",
                    )
            written = _put(target, state, source.loaded.tail)
            found = decode_raw_state(target.held.read(), None, other.seal).ledger.state
    if found != written:
        raise StateUnwritableError(
            "The state cannot be written",
            f"{other.ground.title} gives back something else than what was written to it. Go on with {store.ground.title}.",
        )
    return written


def _put(opened: "LockedStore", state: State, tail: Tail) -> State:
    """Write ``state``, whose last journal line is ``tail``, as the next snapshot."""
    serial = max(state.serial, opened.loaded.serial if opened.loaded.on_disk else 0) + 1
    written = replace(state, serial=serial)
    opened.writer.snapshot(written, tail)
    return written


def _standing(stored: RawState, store: "Store") -> LoadedState | None:
    """What stands there, if it can be read and nothing goes on from something else."""
    try:
        loaded = decode_raw_state(stored, None, store.seal)
    except StateUnreadableError:
        return None
    return loaded if loaded.on_disk else None


def _resumed(stored: RawState, text: bytes, serial: int, store: "Store") -> LoadedState:
    """The version ``text``, whose number is ``serial``, with what an interrupted run recorded after it."""
    later = [journal for journal in stored.journals if journal.serial > serial]
    if later:
        raise UsageError(
            "An interrupted run went on from another version",
            f"{later[0].name} goes on from serial {later[0].serial}, not {serial}: `pragmaspec state restore "
            f"{later[0].serial}` keeps what it says. If serial {serial} is meant, move that file away first. Nothing was "
            "changed.",
        )
    journals = tuple(journal for journal in stored.journals if journal.serial == serial)
    return decode_raw_state(stored._replace(snapshot=text, journals=journals), None, store.seal)


def _refuse_other(state: State, recorded: State, store: "Store") -> None:
    if state.lineage != recorded.lineage:
        raise UsageError(
            "This is the state of another stack",
            f"Its lineage is {state.lineage}; {store.ground.title} holds lineage {recorded.lineage}. Nothing was changed.",
        )


def _nothing(store: "Store") -> UsageError:
    return UsageError("Nothing is recorded yet", f"There is no state at {store.ground.title}.")
