"""Edits the recorded state without contacting any site. Every edit is one new snapshot, so it is atomic."""

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal

from msgspec.structs import replace

from pragmaspec.errors import UsageError
from pragmaspec.state_model import Record, State
from pragmaspec.text import did_you_mean

if TYPE_CHECKING:
    from pragmaspec.state.store import LockedStore, Store

_NAME = re.compile(r"[a-z](?:[a-z0-9-]{0,40}[a-z0-9])?")
"""The valid names of clusters and sites in a spec."""


def write_edit(store: "Store", opened: "LockedStore", after: State) -> State:
    """Replace the locked state by ``after``, and return it as recorded. Raises StateUnwritableError.

    ``opened``: the locked ``store``. Writes a snapshot instead of journal entries: after a crash a part of the edit could be in
    the journal, and a removed record would count as a removed resource.
    """
    loaded = opened.loaded
    seen = store.last_seen(after.lineage)
    serial = max(after.serial, seen.serial if seen else 0) + 1 if loaded.exists or seen else after.serial
    used = {record.resource.site for record in after.records} | {closed.address.partition("/")[0] for closed in after.closed_ops}
    written = replace(after, serial=serial, sites=tuple(site for site in after.sites if site.name in used))
    opened.writer.write_snapshot(written)
    return written


def without_records(state: State, records: Iterable[Record]) -> State:
    """Return ``state`` without ``records``; their objects stay at the sites."""
    return state.with_records((), (record.address for record in records))


def with_renamed(state: State, kind: Literal["cluster", "site"], before: str, after: str) -> State:
    """Return ``state`` with the cluster or site ``before`` renamed to ``after``.

    Raises UsageError for an unrecorded or invalid name, PlanError for one in use.
    """
    from pragmaspec.planning.moves.moves import moved_state
    from pragmaspec.planning.wanted import Move
    from pragmaspec.stack.cluster_requests import recorded_clusters

    names = recorded_clusters(state) if kind == "cluster" else tuple(sorted({record.resource.site for record in state.records}))
    if before not in names:
        hint = did_you_mean(before, names, f"Recorded: {', '.join(names) or 'none'}.")
        raise UsageError(f"No such {kind}", f"No {kind} {before} is recorded. {hint}")
    if not _NAME.fullmatch(after):
        detail = f"{after} cannot be the name of a {kind}: use lower-case letters, digits and dashes, starting with a letter."
        raise UsageError("Invalid name", detail)
    return moved_state(state, (Move(before=before, after=after, kind=kind),))
