"""What ``lock`` shows: one line per image, with what it was and what it is."""

from collections.abc import Sequence

import msgspec

from pragmaspec.images.lock.entries import LockChange
from pragmaspec.images.lock.lock_file import LOCK_FIELDS, LOCK_FILE, LockEntry
from pragmaspec.report.json_forms import JsonObject
from pragmaspec.report.style import Style, Tone
from pragmaspec.report.table import Cell, table
from pragmaspec.text import counted, size

_TONES: dict[str, Tone] = {"new": "add", "described": "change", "moved": "change", "removed": "remove", "same": "plain"}
_DIGITS = 12


def lock_text(changes: Sequence[LockChange], pen: Style) -> str:
    """One line per image, and how many there are."""
    if not changes:
        return "The spec has no images: there is nothing to lock.\n"
    rows = [
        (
            Cell(text=change.name, tone="bold"),
            Cell(text=change.change, tone=_TONES[change.change]),
            Cell(text=_was_and_is(change)),
            Cell(text=size(change.entry.disk.size_bytes), right=True),
            Cell(text=change.entry.origin),
        )
        for change in changes
    ]
    kept = sum(change.change != "removed" for change in changes)
    return "\n".join([*table(("image", "lock", "digest", "size", "origin"), rows, pen), "", _closing(changes, kept)]) + "\n"


def lock_json(changes: Sequence[LockChange]) -> JsonObject:
    """The same for programs, with whole entries."""
    return {
        "kind": "pinned",
        "format": 1,
        "file": LOCK_FILE,
        "images": [
            {
                "name": change.name,
                "change": change.change,
                "before": _entry_form(change.before),
                "after": _entry_form(None if change.change == "removed" else change.entry),
            }
            for change in changes
        ],
    }


def _entry_form(locked: LockEntry | None) -> JsonObject | None:
    """With every key there is: a program need not know which are left out of the file when they are empty."""
    if locked is None:
        return None
    given = msgspec.to_builtins(locked)
    return {field: given.get(field, getattr(locked, field)) for field in LOCK_FIELDS}


def _was_and_is(change: LockChange) -> str:
    """The version where its publisher gives one, else the beginning of the digest; both when it moved."""
    if change.before is None or change.before.digest == change.entry.digest:
        return _short(change.entry)
    return f"{_short(change.before)} → {_short(change.entry)}"


def _short(locked: LockEntry) -> str:
    return locked.version or locked.digest[:_DIGITS]


def _closing(changes: Sequence[LockChange], kept: int) -> str:
    moved = [change.name for change in changes if change.change != "same"]
    return f"{LOCK_FILE} has {counted(kept, 'image')}" + ("." if moved else ", nothing has changed.")
