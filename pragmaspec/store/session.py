"""What a run holds while it changes things: the state in memory, and the journal that makes every step durable."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from secrets import token_hex
from typing import NamedTuple, Protocol

from msgspec.structs import replace

from pragmaspec.errors import PragmaspecError
from pragmaspec.planning.plan import Action
from pragmaspec.recorded import Outputs, Record, State
from pragmaspec.site import Site
from pragmaspec.store.durable import unwritable
from pragmaspec.store.entry import Begin, Bound, Cleared, Done, Entry, Failed, Gone, Intent, Ledger, SiteUsed
from pragmaspec.store.journal import Tail
from pragmaspec.store.journal_file import JournalFile
from pragmaspec.store.snapshot import Snapshot

_LINE_CHARACTERS = 300


class Loaded(NamedTuple):
    """A state as it was found. ``unfinished``: a journal of an interrupted run is part of it."""

    ledger: Ledger
    tail: Tail
    on_disk: bool
    unfinished: bool


class Snapshots(Protocol):
    """Where a session leaves its snapshots and journals."""

    def write_snapshot(self, snapshot: Snapshot) -> None:
        """Replace the snapshot atomically and durably, and drop the journals that it covers. Raises OSError."""
        ...

    def journal_path(self, serial: int) -> Path:
        """Where the journal that extends snapshot number ``serial`` stands."""
        ...


class StoreSession:
    """Records what one run does. Used from one thread. Made by :meth:`pragmaspec.store.local.LocalStore.session`.

    The order that keeps every promise: :meth:`intend` before a call leaves the machine; :meth:`bound` and :meth:`outcome` when
    answers arrive, made durable by the next :meth:`intend` or :meth:`flush`; :meth:`checkpoint` at the end.
    """

    def __init__(self, snapshots: Snapshots, loaded: Loaded) -> None:
        self._snapshots = snapshots
        self._ledger = loaded.ledger
        self._tail = loaded.tail
        self._on_disk = loaded.on_disk
        self._unfinished = loaded.unfinished
        self._serial = loaded.ledger.state.serial
        self._journal: JournalFile | None = None
        self._ops: dict[str, str] = {}
        self._waiting: list[Entry] = []
        self._syncs = 0

    @property
    def state(self) -> State:
        """The recorded state, with everything this run has done so far."""
        return self._ledger.state

    @property
    def syncs(self) -> int:
        """How many durable journal writes this session has made."""
        return self._syncs + (self._journal.syncs if self._journal else 0)

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

        Raises PragmaspecError when it cannot be recorded; then none of the calls may be made.
        """
        for action in actions:
            op = token_hex(16)
            self._ops[action.key] = op
            self._note(Intent(op=op, verb=action.verb, resource=action.resource, generation=action.generation))
        self.flush()

    def bound(self, action: Action, outputs: Outputs) -> None:
        """Record that the site has made the object of ``action``, which may not be ready yet."""
        self._note(Bound(op=self._ops[action.key], outputs=outputs))

    def outcome(self, action: Action, result: Record | PragmaspecError | None) -> None:
        """Record how ``action`` ended: what is there now; None when it is gone; an error when that is not known.

        An action that was not intended needs no call (the verb ``record``), and cannot have failed.
        """
        if isinstance(result, PragmaspecError):
            self._note(Failed(op=self._ops[action.key], problem=first_line(result)))
            return
        op = self._ops.pop(action.key, "")
        self._note(Gone(op=op, address=action.address) if result is None else Done(op=op, record=result))

    def cleared(self, action: Action) -> None:
        """Record that the call of ``action`` never left: everything is as it was before its intent."""
        self._note(Cleared(op=self._ops.pop(action.key)))

    def flush(self) -> None:
        """Make everything recorded so far durable. Raises PragmaspecError when that is not possible."""
        if self._waiting and self._journal is not None:
            waiting, self._waiting = self._waiting, []
            self._journal.append(waiting, outcomes_to_come=len(self._ops))

    def checkpoint(self) -> None:
        """Write a new snapshot that covers the journal, if there is one. Raises PragmaspecError when that is not possible."""
        self.flush()
        if self._journal is not None:
            self._tail = self._journal.tail
        elif not self._unfinished:
            return
        self._write_snapshot(self._serial + 1)
        self.close()

    def close(self) -> None:
        """Let go of the journal file. What was not flushed is lost, as after a crash."""
        if self._journal is not None:
            self._syncs += self._journal.syncs
            self._journal.close()
            self._journal = None

    def _note(self, entry: Entry) -> None:
        if self._journal is None:
            self._begin_journal()
        self._ledger.apply(entry)
        self._waiting.append(entry)

    def _begin_journal(self) -> None:
        """Start a journal on a snapshot that holds everything recorded before."""
        if self._unfinished:
            self._write_snapshot(self._serial + 1)
        elif not self._on_disk:
            self._write_snapshot(self._serial)
        path = self._snapshots.journal_path(self._serial)
        try:
            self._journal = JournalFile(path, self._tail)
        except OSError as error:
            raise unwritable(path, error) from error
        self._waiting.append(Begin(lineage=self._ledger.state.lineage, serial=self._serial))

    def _write_snapshot(self, serial: int) -> None:
        state = self._ledger.state
        prunable = {record.resource.site for record in state.records}
        state = replace(state, serial=serial, sites=tuple(site for site in state.sites if site.name in prunable))
        try:
            self._snapshots.write_snapshot(Snapshot(state=state, applied_seq=self._tail.seq, applied_sha256=self._tail.sha256))
        except OSError as error:
            raise unwritable(self._snapshots.journal_path(serial).parent, error) from error
        self._serial = serial
        self._on_disk, self._unfinished = True, False
        self._ledger.rebase(state)


def first_line(error: PragmaspecError) -> str:
    """What went wrong, in one line that a record can keep and a plan can show."""
    problem = error.problems[0]
    lines = problem.detail.splitlines()
    return (lines[0] if lines else problem.summary)[:_LINE_CHARACTERS]
