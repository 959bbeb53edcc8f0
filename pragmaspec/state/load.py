"""Parses the content of a backend into a state: the snapshot, then the journal, each checked against the other."""

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from pragmaspec.errors import StateUnreadableError
from pragmaspec.state.backends.base import JournalText, RawState
from pragmaspec.state.journal import Journal, JournalLine, Tail, decode_journal, journal_end
from pragmaspec.state.journal_entries import Begin, JournalReplay
from pragmaspec.state.snapshot import Snapshot, check_lineage, decode_snapshot, is_encrypted
from pragmaspec.state.spill import MergedSpills, SpillFile, merge_spills
from pragmaspec.state_model import State

if TYPE_CHECKING:
    from pragmaspec.state.encryption import StateCipher


class LoadedState(NamedTuple):
    """A state as it was read.

    ``exists``: there is a snapshot. ``unfinished``: an interrupted run left a journal or a spill, which is part of the state.
    ``lines``: the journal since the snapshot, whose own last line was ``applied``.
    """

    replay: JournalReplay
    tail: Tail
    exists: bool
    unfinished: bool
    encrypted: bool = False
    applied: Tail = Tail()
    lines: tuple[JournalLine, ...] = ()
    spills: MergedSpills = MergedSpills((), Tail())

    @property
    def state(self) -> State:
        """The state after the journal and the spills."""
        return self.replay.state

    @property
    def serial(self) -> int:
        """The serial of the snapshot."""
        return self.state.serial


CipherLookup = Callable[[str], "StateCipher"]
"""Returns the cipher of a lineage."""


def decode_raw_state(raw: RawState, lineage: str | None, cipher_of: CipherLookup) -> LoadedState:
    """Return the state in ``raw``; an empty one with ``lineage`` (default: a new one) if there is none.

    Raises StateUnreadableError.
    """
    if raw.snapshot is None:
        if raw.journals or raw.backup_serials:
            raise _missing_snapshot(raw)
        return LoadedState(JournalReplay(State(lineage=lineage or new_lineage())), Tail(), exists=False, unfinished=False)
    text, cipher = decrypt_snapshot(raw.snapshot, raw.name, cipher_of)
    snapshot = decode_snapshot(text, raw.name)
    applied = Tail(seq=snapshot.applied_seq, sha256=snapshot.applied_sha256)
    replay = JournalReplay(snapshot.state)
    journal = Journal((), applied)
    for encoded in raw.journals:
        each = encoded._replace(data=cipher.decrypt_journal(encoded.data, encoded.name)) if cipher else encoded
        if each.serial == snapshot.state.serial:
            journal = decode_journal(each.data, each.name, applied)
            _apply(replay, journal, each.name)
        else:
            _check_covered(each, snapshot)
    return LoadedState(
        replay,
        journal.tail,
        exists=True,
        unfinished=bool(raw.journals),
        encrypted=cipher is not None,
        applied=applied,
        lines=journal.lines,
    )


def with_spills(loaded: LoadedState, spills: tuple[SpillFile, ...], cipher_of: CipherLookup) -> LoadedState:
    """Return ``loaded`` with the lines that an interrupted run could store only on this machine.

    Raises StateUnreadableError.
    """
    if not spills or not loaded.exists:
        return loaded
    if loaded.encrypted:
        cipher = cipher_of(loaded.state.lineage)
        spills = tuple(each._replace(data=cipher.decrypt_journal(each.data, str(each.path))) for each in spills)
    merged = merge_spills(spills, loaded.lines, loaded.applied)
    try:
        for entry in merged.entries:
            loaded.replay.apply(entry)
    except KeyError:
        raise _foreign_journal(", ".join(str(path) for path in merged.merged)) from None
    return loaded._replace(tail=merged.tail, spills=merged, unfinished=loaded.unfinished or bool(merged.entries))


def decrypt_snapshot(data: bytes, name: str, cipher_of: CipherLookup) -> "tuple[bytes, StateCipher | None]":
    """Return the cleartext of the snapshot ``data`` in ``name``, and the cipher if it was encrypted."""
    if not is_encrypted(data):
        return data, None
    from pragmaspec.state.encryption import parse_encrypted  # noqa: PLC0415 - needed only for encrypted states

    found = parse_encrypted(data)
    if found is None:
        return data, None  # decode_snapshot reports what is wrong with it
    check_lineage(found.lineage, name)
    cipher = cipher_of(found.lineage)
    return cipher.decrypt_snapshot(found, name), cipher


def new_lineage() -> str:
    """Return a new lineage."""
    from uuid import uuid4  # noqa: PLC0415 - takes 10 ms that only the first run of a stack need spend

    return str(uuid4())


def _apply(replay: JournalReplay, journal: Journal, name: str) -> None:
    """Apply ``journal`` to the state of its snapshot."""
    state = replay.state
    try:
        for line in journal.lines:
            entry = line.entry
            if isinstance(entry, Begin) and (entry.lineage, entry.serial) != (state.lineage, state.serial):
                raise _foreign_journal(name)
            replay.apply(entry)
    except KeyError:
        raise _foreign_journal(name) from None


def _check_covered(text: JournalText, snapshot: Snapshot) -> None:
    """Raise unless all lines of ``text``, the journal of another snapshot, are part of this one."""
    tail = journal_end(text.data, text.name)
    if tail is None or (text.serial < snapshot.state.serial and tail.sha256 == snapshot.applied_sha256):
        return
    if text.serial > snapshot.state.serial:
        raise StateUnreadableError(
            "The state was put back to an older version",
            f"The state has serial {snapshot.state.serial}, but {text.name} continues serial {text.serial}: the state was "
            f"replaced, perhaps by a git checkout. Restore the version with serial {text.serial}: `pragmaspec state restore "
            f"{text.serial}`. If the older version is intended, move {text.name} away; then `pragmaspec plan` shows which "
            "objects at the sites carry its marks. Nothing was changed.",
        )
    raise StateUnreadableError(
        "The state was replaced while a run was unfinished",
        f"{text.name} records what a run on this machine did after serial {text.serial}, but the state (serial "
        f"{snapshot.state.serial}) does not contain it: it came from elsewhere, perhaps by a git pull. Restore the version with "
        f"serial {text.serial}, run `pragmaspec apply` to finish, then merge; or move {text.name} away, and `pragmaspec plan` "
        "shows which objects at the sites carry the marks of this stack. Nothing was changed.",
    )


def _missing_snapshot(raw: RawState) -> StateUnreadableError:
    traces = [text.name for text in raw.journals]
    remedy = "; `pragmaspec state history` lists the versions that are kept"
    if raw.backup_serials:
        newest = max(raw.backup_serials)
        traces.append(f"an older version with serial {newest}")
        remedy = f", or with `pragmaspec state restore {newest}`"
    return StateUnreadableError(
        "The state file is missing",
        f"{raw.name} does not exist, but {', '.join(traces)} shows that it did: perhaps a git checkout removed it. Restore it "
        f"from there{remedy}. For a new stack, choose another name: `stack: NAME` in the spec. Nothing was changed.",
    )


def _foreign_journal(name: str) -> StateUnreadableError:
    return StateUnreadableError(
        "The journal belongs to another state",
        f"{name} does not match the snapshot beside it: one of them was copied from elsewhere. Put the matching files together "
        "again, or move the journal away. Nothing was changed.",
    )
