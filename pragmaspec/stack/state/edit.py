"""Changing what is recorded without touching any site. Every edit is one new snapshot: it is there whole, or not at all."""

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal

from msgspec.structs import replace

from pragmaspec.errors import Problem, UsageError
from pragmaspec.state_model import Record, State

if TYPE_CHECKING:
    from pragmaspec.state.store import LockedStore, Store

_NAME = re.compile(r"[a-z](?:[a-z0-9-]{0,40}[a-z0-9])?")
"""What a spec lets clusters and sites be called."""


def write_edit(store: "Store", opened: "LockedStore", after: State) -> State:
    """Record ``after`` in the place of what is held; what is recorded then. Raises StateUnwritableError.

    ``opened`` is what ``store`` holds. Not by the journal: a crash could leave a part of an edit there, and what is taken out
    here is not gone from its site.
    """
    loaded = opened.loaded
    seen = store.last_seen(after.lineage)
    serial = max(after.serial, seen.serial if seen else 0) + 1 if loaded.exists or seen else after.serial
    used = {record.resource.site for record in after.records} | {closed.address.partition("/")[0] for closed in after.closed_ops}
    written = replace(after, serial=serial, sites=tuple(site for site in after.sites if site.name in used))
    opened.writer.write_snapshot(written)
    return written


def without_records(state: State, records: Iterable[Record]) -> State:
    """``state`` without ``records``: what they are about stays at its site."""
    return state.with_records((), (record.address for record in records))


def with_renamed(state: State, kind: Literal["cluster", "site"], before: str, after: str) -> State:
    """``state`` with the cluster or site ``before`` called ``after``.

    Raises UsageError for a name that is not recorded or cannot be, PlanError for one that is taken.
    """
    from pragmaspec.planning.moves.moves import moved_state
    from pragmaspec.planning.wanted import Move
    from pragmaspec.stack.cluster_requests import recorded_clusters

    names = recorded_clusters(state) if kind == "cluster" else tuple(sorted({record.resource.site for record in state.records}))
    if before not in names:
        raise UsageError.of([_unknown(kind, before, names)])
    if not _NAME.fullmatch(after):
        detail = f"{after} cannot be the name of a {kind}: small letters, digits and dashes, a letter first."
        raise UsageError("Wrong name", detail)
    return moved_state(state, (Move(before=before, after=after, kind=kind),))


def _unknown(kind: str, name: str, names: tuple[str, ...]) -> Problem:
    from difflib import get_close_matches

    near = get_close_matches(name, names, n=1)
    hint = f"Did you mean {near[0]}?" if near else f"Recorded: {', '.join(names) or 'none'}."
    return Problem(summary=f"No such {kind}", detail=f"No {kind} {name} is recorded. {hint}")
