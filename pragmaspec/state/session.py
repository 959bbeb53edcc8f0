"""What a run holds while it changes things: the state in memory, and the journal that makes every step durable."""

from collections.abc import Iterable, Sequence
from secrets import token_hex

from msgspec.structs import replace

from pragmaspec.errors import PragmaspecError, StateUnreachableError, StateUnwritableError
from pragmaspec.planning.plan import Action
from pragmaspec.planning.wanted import Move
from pragmaspec.resources import Outputs
from pragmaspec.site import Site
from pragmaspec.state.invariants import check_claims
from pragmaspec.state.journal_entries import (
    Bound,
    Done,
    Failed,
    Intent,
    JournalEntry,
    JournalReplay,
    Moved,
    Removed,
    Retracted,
    SiteUsed,
)
from pragmaspec.state.load import LoadedState
from pragmaspec.state.writer import StateWriter
from pragmaspec.state_model import Record, State


class StoreSession:
    """Records what one run does. Used from one thread. Made by :meth:`pragmaspec.state.store.Store.session`.

    The order that keeps every promise: :meth:`intend` before a call leaves the machine; :meth:`bound` and :meth:`outcome` when
    answers arrive, made durable by the next :meth:`intend` or :meth:`flush`; :meth:`checkpoint` at the end.
    """

    def __init__(self, writer: StateWriter, loaded: LoadedState) -> None:
        self._writer = writer
        self._ledger: JournalReplay = loaded.ledger
        self._on_disk = loaded.on_disk
        self._unfinished = loaded.unfinished
        self._begun = False
        self._ops: dict[str, str] = {}
        self._waiting: list[JournalEntry] = []

    @property
    def state(self) -> State:
        """The recorded state, with everything this run has done so far."""
        return self._ledger.state

    @property
    def syncs(self) -> int:
        """How many durable journal writes this session has made."""
        return self._writer.syncs

    def record(self, address: str) -> Record | None:
        """The record at ``address`` now, in constant time."""
        return self._ledger.record(address)

    def use_sites(self, sites: Iterable[Site]) -> None:
        """Record the options of ``sites``, together with the next intent."""
        for site in sites:
            if self._ledger.site(site.name) != site:
                self._note(SiteUsed(site=site))

    def intend(self, actions: Sequence[Action]) -> None:
        """Record that the calls of ``actions`` are about to leave, in one durable write with what waits.

        Raises StateUnwritableError when it cannot be recorded; then none of the calls may be made.
        """
        if claimed := [action.resource for action in actions if action.verb == "allocate"]:
            check_claims(self.state, claimed)
        for action in actions:
            op = token_hex(16)
            self._ops[action.key] = op
            self._note(Intent(op=op, verb=action.verb, resource=action.resource, generation=action.generation))
        try:
            self.flush()
        except (StateUnwritableError, StateUnreachableError):
            self._never_left(actions)
            raise

    def bound(self, action: Action, outputs: Outputs) -> None:
        """Record that the site has made the object of ``action``, which may not be ready yet."""
        self._note(Bound(op=self._ops[action.key], outputs=outputs))

    def outcome(self, action: Action, result: Record | PragmaspecError | None) -> None:
        """Record how ``action`` ended: what is there now; None when it is gone; an error when that is not known.

        An action that was not intended needs no call (the verb ``record``), and cannot have failed.
        """
        if isinstance(result, PragmaspecError):
            self._note(Failed(op=self._ops[action.key], problem=result.first_line))
            return
        op = self._ops.pop(action.key, "")
        self._note(Removed(op=op, address=action.address) if result is None else Done(op=op, record=result))

    def moved(self, moves: Sequence[Move]) -> None:
        """Record that clusters or sites have other names now."""
        self._note(Moved(moves=tuple(moves)))

    def retract(self, action: Action) -> None:
        """Record that the call of ``action`` never left: everything is as it was before its intent. Without one: nothing."""
        op = self._ops.pop(action.key, "")
        if op:
            self._note(Retracted(op=op))

    def flush(self) -> None:
        """Make everything recorded so far durable. Raises StateUnwritableError when that is not possible."""
        if self._waiting:
            waiting, self._waiting = self._waiting, []
            self._writer.append(waiting, outcomes_to_come=len(self._ops))

    def checkpoint(self) -> None:
        """Write a new snapshot that covers the journal, if there is one. Raises StateUnwritableError when that cannot be done."""
        self.flush()
        if self._begun or self._unfinished:
            self._write_snapshot(self._ledger.state.serial + 1)

    def close(self) -> None:
        """End the session. What was not flushed is lost, as after a crash; unless a write has failed: then it is spilled."""
        if self._waiting and self._writer.broken:
            waiting, self._waiting = self._waiting, []
            self._writer.spill(waiting)

    def _never_left(self, actions: Sequence[Action]) -> None:
        """What could not be recorded is not done. The intents may have reached the disk all the same, so they are taken back."""
        for action in actions:
            self.retract(action)
        self.close()

    def _note(self, entry: JournalEntry) -> None:
        if not self._begun:
            self._begin_journal()
        self._ledger.apply(entry)
        self._waiting.append(entry)

    def _begin_journal(self) -> None:
        """Start a journal on a snapshot that holds everything recorded before."""
        if self._unfinished:
            self._write_snapshot(self._ledger.state.serial + 1)
        elif not self._on_disk:
            self._write_snapshot(self._ledger.state.serial)
        self._waiting.append(self._writer.begin(self._ledger.state))
        self._begun = True

    def _write_snapshot(self, serial: int) -> None:
        state = self._ledger.state
        used = {record.resource.site for record in state.records}
        used.update(closed.address.partition("/")[0] for closed in state.closed_ops)
        state = replace(state, serial=serial, sites=tuple(site for site in state.sites if site.name in used))
        self._writer.snapshot(state)
        self._begun, self._on_disk, self._unfinished = False, True, False
        self._ledger.rebase(state)
