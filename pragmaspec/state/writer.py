"""How a session's entries and snapshots become durable: sealed when asked for, spilled when the place fails, never half."""

from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pragmaspec.errors import StateUnreachableError, StateUnwritableError
from pragmaspec.state.backends.base import LockedBackend
from pragmaspec.state.backends.local.durable import unwritable_error
from pragmaspec.state.invariants import check_invariants
from pragmaspec.state.journal import Tail, encode_batch
from pragmaspec.state.journal_entries import Begin, JournalEntry
from pragmaspec.state.load import LoadedState
from pragmaspec.state.rollback_guard import LastSeen, RollbackGuard
from pragmaspec.state.snapshot import Snapshot, encode_snapshot
from pragmaspec.state.spill import Spills
from pragmaspec.state_model import State

if TYPE_CHECKING:
    from pragmaspec.state.encryption import StateCipher

_OUTCOME_BYTES = 4 * 1024
"""Room for the outcomes (bound, then done or failed) of one intent."""
_SEALED_PER_PLAIN = 1.5
"""What base64 and the frame of a sealed line add, rounded up."""


class StateWriter:
    """Writes to ``held`` what comes after ``loaded``. After a failed append nothing more is appended.

    ``seal`` encrypts what is written; ``spills`` takes the lines of appends that fail; ``mark`` remembers every serial written.
    """

    def __init__(
        self,
        held: LockedBackend,
        loaded: LoadedState,
        *,
        seal: "StateCipher | None" = None,
        spills: Spills | None = None,
        mark: RollbackGuard | None = None,
    ) -> None:
        self._held = held
        self._seal = seal
        self._spills = spills
        self._mark = mark
        self._tail = loaded.tail
        self._stands = loaded.ledger.state
        self._on_disk = loaded.on_disk
        self._taken = loaded.spills.taken
        self._passed = loaded.spills.passed
        self._broken = False
        self.syncs = 0
        """How many durable journal writes were made."""

    @property
    def broken(self) -> bool:
        """Whether a write to the journal has failed."""
        return self._broken

    def begin(self, state: State) -> Begin:
        """Make ready for lines that extend the snapshot of ``state``, and give the first. Raises StateUnwritableError."""
        self._held.begin_journal(state.serial)
        return Begin(lineage=state.lineage, serial=state.serial)

    def append(self, entries: Sequence[JournalEntry], outcomes_to_come: int) -> None:
        """Write ``entries``; room for ``outcomes_to_come`` outcomes is set aside where that is possible.

        Raises StateUnwritableError or StateUnreachableError; then the entries are spilled, if that is possible, and the next run
        takes them in.
        """
        first_seq = self._tail.seq + 1
        lines, tail = self._encoded(entries)
        if self._broken:
            self._spill(lines, first_seq, tail)
            raise unwritable_error("The journal", "an earlier write failed")
        spilled = self._spill_beforehand(lines, first_seq)
        self._broken = True  # until it has gone well
        try:
            self._held.append(lines, first_seq, int(outcomes_to_come * _OUTCOME_BYTES * (_SEALED_PER_PLAIN if self._seal else 1)))
        except (StateUnwritableError, StateUnreachableError):
            self._tail = tail if spilled else self._tail
            if spilled is None:
                self._spill(lines, first_seq, tail)
            raise
        self._broken = False
        if spilled is not None and self._spills:
            self._spills.drop(spilled)
        self.syncs += 1
        self._tail = tail

    def snapshot(self, state: State, tail: Tail | None = None) -> None:
        """Replace the snapshot by ``state``, which holds everything written so far, and perhaps more: up to ``tail``.

        Raises StateUnwritableError.
        """
        check_invariants(state, self._stands)
        if tail is not None and tail.seq > self._tail.seq:
            self._tail = tail
        if self._on_disk and state.serial <= self._stands.serial:
            raise unwritable_error("The state", f"serial {state.serial} cannot follow serial {self._stands.serial}")
        text = encode_snapshot(Snapshot(state=state, applied_seq=self._tail.seq, applied_sha256=self._tail.sha256))
        self._held.write_snapshot(self._seal.snapshot(text, state.serial) if self._seal else text, state.serial)
        self._stands, self._on_disk = state, True
        if self._mark:
            self._mark.see(LastSeen(serial=state.serial, sealed=self._seal is not None))
        self._tidy()

    def spill(self, entries: Sequence[JournalEntry]) -> None:
        """Keep ``entries`` for the next run, after a write has failed. That this cannot be done either is no error any more."""
        first_seq = self._tail.seq + 1
        lines, tail = self._encoded(entries)
        self._spill(lines, first_seq, tail)

    def _encoded(self, entries: Sequence[JournalEntry]) -> tuple[bytes, Tail]:
        lines, tail = encode_batch(entries, self._tail, datetime.now(UTC).isoformat(timespec="milliseconds"))
        return (self._seal.lines(lines, self._tail.seq + 1, tail.seq) if self._seal else lines), tail

    def _spill_beforehand(self, lines: bytes, first_seq: int) -> Path | None:
        if self._spills is None or not self._spills.beforehand:
            return None
        with suppress(OSError):
            return self._spills.keep(lines, first_seq)
        return None

    def _spill(self, lines: bytes, first_seq: int, tail: Tail) -> None:
        """After one spill is missing the ones that follow it would be of no use: a chain has no gaps."""
        if self._spills is None:
            return
        try:
            self._spills.keep(lines, first_seq)
        except OSError:
            self._spills = None
        else:
            self._tail = tail

    def _tidy(self) -> None:
        """Remove the spills that the snapshot covers now."""
        if self._spills:
            for path in self._taken:
                self._spills.drop(path)
            for path in self._passed:
                self._spills.set_aside(path)
        self._taken = self._passed = ()
