"""Durable writes of a session's entries and snapshots: encrypted on request, and spilled if the backend fails."""

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
"""Space for the outcomes (bound, then done or failed) of one intent."""
_ENCRYPTED_PER_PLAIN = 1.5
"""Growth by base64 and the frame of an encrypted line, rounded up."""


class StateWriter:
    """Writes the journal and the snapshots that follow ``loaded``. After a failed append nothing more is appended.

    ``cipher`` encrypts the texts; ``spills`` stores the lines of failed appends; ``guard`` remembers every serial written.
    """

    def __init__(
        self,
        backend: LockedBackend,
        loaded: LoadedState,
        *,
        cipher: "StateCipher | None" = None,
        spills: Spills | None = None,
        guard: RollbackGuard | None = None,
    ) -> None:
        self._backend = backend
        self._cipher = cipher
        self._spills = spills
        self._guard = guard
        self._tail = loaded.tail
        self._current = loaded.state
        self._exists = loaded.exists
        self._merged = loaded.spills.merged
        self._superseded = loaded.spills.superseded
        self._broken = False
        self.syncs = 0
        """Number of durable journal writes."""

    @property
    def broken(self) -> bool:
        """True if a write to the journal has failed."""
        return self._broken

    def begin(self, state: State) -> Begin:
        """Prepare for lines that extend the snapshot of ``state``, and return the first. Raises StateUnwritableError."""
        self._backend.begin_journal(state.serial)
        return Begin(lineage=state.lineage, serial=state.serial)

    def append(self, entries: Sequence[JournalEntry], pending_outcomes: int) -> None:
        """Write ``entries``; space for ``pending_outcomes`` more outcomes is reserved where the backend can.

        Raises StateUnwritableError or StateUnreachableError; the entries are then spilled, if that is possible, and the next run
        merges them.
        """
        first_seq = self._tail.seq + 1
        lines, tail = self._encode(entries)
        if self._broken:
            self._spill(lines, first_seq, tail)
            raise unwritable_error("The journal", "an earlier write failed")
        spilled = self._spill_ahead(lines, first_seq)
        self._broken = True  # until the write has succeeded
        reserve_bytes = int(pending_outcomes * _OUTCOME_BYTES * (_ENCRYPTED_PER_PLAIN if self._cipher else 1))
        try:
            self._backend.append(lines, first_seq, reserve_bytes)
        except (StateUnwritableError, StateUnreachableError):
            self._tail = tail if spilled else self._tail
            if spilled is None:
                self._spill(lines, first_seq, tail)
            raise
        self._broken = False
        if spilled is not None and self._spills:
            self._spills.remove(spilled)
        self.syncs += 1
        self._tail = tail

    def write_snapshot(self, state: State, tail: Tail | None = None) -> None:
        """Replace the snapshot by ``state``, which contains everything written so far, and possibly more: up to ``tail``.

        Raises StateUnwritableError.
        """
        check_invariants(state, self._current)
        if tail is not None and tail.seq > self._tail.seq:
            self._tail = tail
        if self._exists and state.serial <= self._current.serial:
            raise unwritable_error("The state", f"serial {state.serial} cannot follow serial {self._current.serial}")
        text = encode_snapshot(Snapshot(state=state, applied_seq=self._tail.seq, applied_sha256=self._tail.sha256))
        self._backend.write_snapshot(self._cipher.encrypt_snapshot(text, state.serial) if self._cipher else text, state.serial)
        self._current, self._exists = state, True
        if self._guard:
            self._guard.record(LastSeen(serial=state.serial, encrypted=self._cipher is not None))
        self._remove_covered_spills()

    def spill(self, entries: Sequence[JournalEntry]) -> None:
        """Store ``entries`` for the next run, after a write has failed. Never raises."""
        first_seq = self._tail.seq + 1
        lines, tail = self._encode(entries)
        self._spill(lines, first_seq, tail)

    def _encode(self, entries: Sequence[JournalEntry]) -> tuple[bytes, Tail]:
        lines, tail = encode_batch(entries, self._tail, datetime.now(UTC).isoformat(timespec="milliseconds"))
        return (self._cipher.encrypt_lines(lines, self._tail.seq + 1, tail.seq) if self._cipher else lines), tail

    def _spill_ahead(self, lines: bytes, first_seq: int) -> Path | None:
        if self._spills is None or not self._spills.write_ahead:
            return None
        with suppress(OSError):
            return self._spills.write(lines, first_seq)
        return None

    def _spill(self, lines: bytes, first_seq: int, tail: Tail) -> None:
        """Store ``lines``. After a failure later spills would be useless, because a chain has no gaps; none is written."""
        if self._spills is None:
            return
        try:
            self._spills.write(lines, first_seq)
        except OSError:
            self._spills = None
        else:
            self._tail = tail

    def _remove_covered_spills(self) -> None:
        if self._spills:
            for path in self._merged:
                self._spills.remove(path)
            for path in self._superseded:
                self._spills.set_aside(path)
        self._merged = self._superseded = ()
