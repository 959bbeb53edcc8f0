"""From the texts that a ground holds to a state: the snapshot, then the journal, each checked against the other. Pure."""

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
    """A state as it was found.

    ``unfinished``: what an interrupted run left in a journal or a spill is part of it. ``links``: the journal's lines since the
    snapshot, whose last line was ``applied``.
    """

    ledger: JournalReplay
    tail: Tail
    on_disk: bool
    unfinished: bool
    sealed: bool = False
    applied: Tail = Tail()
    links: tuple[JournalLine, ...] = ()
    spills: MergedSpills = MergedSpills((), Tail())

    @property
    def serial(self) -> int:
        """The snapshot's."""
        return self.ledger.state.serial


CipherLookup = Callable[[str], "StateCipher"]
"""What opens the encrypted texts of a lineage."""


def decode_raw_state(stored: RawState, lineage: str | None, opener: CipherLookup) -> LoadedState:
    """What ``stored`` says; ``lineage`` (default: a new one) is used when there is nothing. Raises StateUnreadableError."""
    if stored.snapshot is None:
        if stored.journals or stored.kept:
            raise _without_snapshot(stored)
        return LoadedState(JournalReplay(State(lineage=lineage or new_lineage())), Tail(), on_disk=False, unfinished=False)
    text, seal = decrypt_snapshot(stored.snapshot, stored.name, opener)
    snapshot = decode_snapshot(text, stored.name)
    applied = Tail(seq=snapshot.applied_seq, sha256=snapshot.applied_sha256)
    ledger = JournalReplay(snapshot.state)
    journal = Journal((), applied)
    for each in stored.journals:
        lines = each._replace(data=seal.open_journal(each.data, each.name)) if seal else each
        if each.serial == snapshot.state.serial:
            journal = decode_journal(lines.data, lines.name, applied)
            _replay(ledger, journal, lines.name)
        else:
            _check_covered(lines, snapshot)
    return LoadedState(
        ledger,
        journal.tail,
        on_disk=True,
        unfinished=bool(stored.journals),
        sealed=seal is not None,
        applied=applied,
        links=journal.links,
    )


def with_spills(loaded: LoadedState, spills: tuple[SpillFile, ...], opener: CipherLookup) -> LoadedState:
    """``loaded`` with the lines that an interrupted run could write only to this machine. Raises StateUnreadableError."""
    if not spills or not loaded.on_disk:
        return loaded
    if loaded.sealed:
        seal = opener(loaded.ledger.state.lineage)
        spills = tuple(each._replace(data=seal.open_journal(each.data, str(each.path))) for each in spills)
    merged = merge_spills(spills, loaded.links, loaded.applied)
    try:
        for entry in merged.entries:
            loaded.ledger.apply(entry)
    except KeyError:
        raise _foreign_journal(", ".join(str(path) for path in merged.taken)) from None
    return loaded._replace(tail=merged.tail, spills=merged, unfinished=loaded.unfinished or bool(merged.entries))


def decrypt_snapshot(data: bytes, name: str, opener: CipherLookup) -> "tuple[bytes, StateCipher | None]":
    """The text of the snapshot ``data``, found at ``name``, in clear, and the seal it was under, if any."""
    if not is_encrypted(data):
        return data, None
    from pragmaspec.state.encryption import parse_encrypted  # noqa: PLC0415 - only for who encrypts

    found = parse_encrypted(data)
    if found is None:
        return data, None  # decode_snapshot says what is wrong with it
    check_lineage(found.lineage, name)
    seal = opener(found.lineage)
    return seal.open_snapshot(found, name), seal


def new_lineage() -> str:
    """A name for a new stack."""
    from uuid import uuid4  # noqa: PLC0415 - costs 10 ms that only the first run of a stack need pay

    return str(uuid4())


def _replay(ledger: JournalReplay, journal: Journal, name: str) -> None:
    """Apply what the journal says after the snapshot."""
    state = ledger.state
    try:
        for link in journal.links:
            entry = link.entry
            if isinstance(entry, Begin) and (entry.lineage, entry.serial) != (state.lineage, state.serial):
                raise _foreign_journal(name)
            ledger.apply(entry)
    except KeyError:
        raise _foreign_journal(name) from None


def _check_covered(text: JournalText, snapshot: Snapshot) -> None:
    """Raise unless the journal of another snapshot holds nothing that is missing in this one."""
    tail = journal_end(text.data, text.name)
    if tail is None or (text.serial < snapshot.state.serial and tail.sha256 == snapshot.applied_sha256):
        return
    if text.serial > snapshot.state.serial:
        raise _unreadable(
            "The state was put back to an older version",
            f"The state has serial {snapshot.state.serial}, but {text.name} goes on from serial {text.serial}: something "
            f"(perhaps a git checkout) replaced it. Put back the version with serial {text.serial}: `pragmaspec state restore "
            f"{text.serial}`. If the older version is meant, move {text.name} away; then `pragmaspec plan` shows what the "
            "sites hold with its marks.",
        )
    raise _unreadable(
        "The state was replaced while a run was unfinished",
        f"{text.name} holds what a run of this machine did after serial {text.serial}, and the state (serial "
        f"{snapshot.state.serial}) does not know of it: it came from somewhere else, perhaps a git pull. Put back the version "
        f"with serial {text.serial}, run `pragmaspec apply` to finish, then merge; or move {text.name} away, and `pragmaspec "
        "plan` shows what the sites hold with this stack's marks.",
    )


def _without_snapshot(stored: RawState) -> StateUnreadableError:
    traces = [text.name for text in stored.journals]
    if stored.kept:
        traces.append(f"an older version with serial {max(stored.kept)}")
    restore = f"`pragmaspec state restore {max(stored.kept)}`" if stored.kept else "`pragmaspec state history` shows what is kept"
    return _unreadable(
        "The state file is missing",
        f"{stored.name} is not there, but {', '.join(traces)} shows that it was: perhaps a git checkout took it. Put it back "
        f"from there, or with {restore}. If a new stack is meant, give it a name of its own: `stack: NAME` in the spec.",
    )


def _foreign_journal(name: str) -> StateUnreadableError:
    return _unreadable(
        "The journal belongs to another state",
        f"{name} does not go with the snapshot beside it: one of them was copied from somewhere else. Put the two that belong "
        "together side by side again, or move the journal away.",
    )


def _unreadable(summary: str, detail: str) -> StateUnreadableError:
    return StateUnreadableError(summary, f"{detail} Nothing was changed.")
