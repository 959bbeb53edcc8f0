"""A run's session on the state: the state in memory, and the journal that makes every step durable."""

from collections.abc import Iterable, Sequence
from secrets import token_hex

from msgspec.structs import replace

from pragmaspec.errors import PragmaspecError, StateUnreachableError, StateUnwritableError
from pragmaspec.planning.plan import Action
from pragmaspec.planning.wanted import Move
from pragmaspec.resources import Outputs
from pragmaspec.site import Site
from pragmaspec.state.invariants import check_claims
from pragmaspec.state.journal_entries import Bound, Done, Failed, Intent, JournalEntry, Moved, Removed, Retracted, SiteUsed
from pragmaspec.state.load import LoadedState
from pragmaspec.state.writer import StateWriter
from pragmaspec.state_model import Record, State


class StoreSession:
    """Records the actions of one run. Used from one thread. Opened by :meth:`pragmaspec.state.store.Store.session`.

    The order of calls on which all guarantees rest: :meth:`intend` before a call is sent; :meth:`bound` and :meth:`outcome` when
    responses arrive, made durable by the next :meth:`intend` or :meth:`flush`; :meth:`checkpoint` at the end.
    """

    def __init__(self, writer: StateWriter, loaded: LoadedState) -> None:
        self._writer = writer
        self._replay = loaded.replay
        self._exists = loaded.exists
        self._unfinished = loaded.unfinished
        self._journal_begun = False
        self._ops: dict[str, str] = {}
        self._unwritten: list[JournalEntry] = []

    @property
    def state(self) -> State:
        """The recorded state, including everything this run has done so far."""
        return self._replay.state

    @property
    def syncs(self) -> int:
        """Number of durable journal writes of this session."""
        return self._writer.syncs

    def record(self, address: str) -> Record | None:
        """Return the current record at ``address``, in constant time."""
        return self._replay.record(address)

    def use_sites(self, sites: Iterable[Site]) -> None:
        """Record the options of ``sites``, together with the next intent."""
        for site in sites:
            if self._replay.site(site.name) != site:
                self._add(SiteUsed(site=site))

    def intend(self, actions: Sequence[Action]) -> None:
        """Record that the calls of ``actions`` are about to be sent, in one durable write with all unwritten entries.

        Raises StateUnwritableError if that fails; then none of the calls may be made.
        """
        if claimed := [action.resource for action in actions if action.verb == "allocate"]:
            check_claims(self.state, claimed)
        for action in actions:
            op = token_hex(16)
            self._ops[action.key] = op
            self._add(Intent(op=op, verb=action.verb, resource=action.resource, generation=action.generation))
        try:
            self.flush()
        except (StateUnwritableError, StateUnreachableError):
            # The calls are not made. The intents may have reached the disk nevertheless, so they are retracted.
            for action in actions:
                self.retract(action)
            self.close()
            raise

    def bound(self, action: Action, outputs: Outputs) -> None:
        """Record that the site has created the object of ``action``, which may not be ready yet."""
        self._add(Bound(op=self._ops[action.key], outputs=outputs))

    def outcome(self, action: Action, result: Record | PragmaspecError | None) -> None:
        """Record the outcome of ``action``: its record, None if the object was removed, an error if the effect is unknown.

        An action without an intent makes no call (the verb ``record``), so it cannot have failed.
        """
        if isinstance(result, PragmaspecError):
            self._add(Failed(op=self._ops[action.key], problem=result.first_line))
            return
        op = self._ops.pop(action.key, "")
        self._add(Removed(op=op, address=action.address) if result is None else Done(op=op, record=result))

    def moved(self, moves: Sequence[Move]) -> None:
        """Record that clusters or sites were renamed."""
        self._add(Moved(moves=tuple(moves)))

    def retract(self, action: Action) -> None:
        """Record that the call of ``action`` was not sent: everything is as before its intent. No-op without an intent."""
        op = self._ops.pop(action.key, "")
        if op:
            self._add(Retracted(op=op))

    def flush(self) -> None:
        """Make everything recorded so far durable. Raises StateUnwritableError."""
        if self._unwritten:
            entries, self._unwritten = self._unwritten, []
            self._writer.append(entries, pending_outcomes=len(self._ops))

    def checkpoint(self) -> None:
        """Write a new snapshot that covers the journal, if there is one. Raises StateUnwritableError."""
        self.flush()
        if self._journal_begun or self._unfinished:
            self._write_snapshot(self._replay.state.serial + 1)

    def close(self) -> None:
        """End the session. Unflushed entries are lost, as after a crash; they are spilled if a write has failed."""
        if self._unwritten and self._writer.broken:
            entries, self._unwritten = self._unwritten, []
            self._writer.spill(entries)

    def _add(self, entry: JournalEntry) -> None:
        if not self._journal_begun:
            self._begin_journal()
        self._replay.apply(entry)
        self._unwritten.append(entry)

    def _begin_journal(self) -> None:
        """Start a journal that extends a snapshot of everything recorded before."""
        if self._unfinished:
            self._write_snapshot(self._replay.state.serial + 1)
        elif not self._exists:
            self._write_snapshot(self._replay.state.serial)
        self._unwritten.append(self._writer.begin(self._replay.state))
        self._journal_begun = True

    def _write_snapshot(self, serial: int) -> None:
        state = self._replay.state
        used = {record.resource.site for record in state.records}
        used.update(closed.address.partition("/")[0] for closed in state.closed_ops)
        state = replace(state, serial=serial, sites=tuple(site for site in state.sites if site.name in used))
        self._writer.write_snapshot(state)
        self._journal_begun, self._exists, self._unfinished = False, True, False
        self._replay.rebase(state)
