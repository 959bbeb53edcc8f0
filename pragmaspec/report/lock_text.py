"""The output of ``lock``: old and new versions of images."""

from collections.abc import Sequence

from pragmaspec.frozen import to_plain
from pragmaspec.images.lock.entries import LockChange, ProcessorChange, SitePinChange
from pragmaspec.images.lock.lock_file import LOCK_FIELDS, LOCK_FILE, LockEntry
from pragmaspec.report.json_forms import JsonObject, fields_json
from pragmaspec.report.style import Style, Tone
from pragmaspec.report.table import Cell, lines_text, table
from pragmaspec.text import counted, size

_TONES: dict[str, Tone] = {"new": "add", "described": "change", "moved": "change", "removed": "remove", "same": "plain"}
Change = LockChange | SitePinChange | ProcessorChange
_DIGITS, _CHECKSUM_LETTERS = 12, 23


def lock_text(changes: Sequence[Change], style: Style) -> str:
    """Return a table of images, one of images that live at sites, one of the processors of sites, and their number."""
    if not changes:
        return "The spec has no images: there is nothing to lock.\n"
    rows = [
        (
            Cell(text=change.name, tone="bold"),
            Cell(text=change.change, tone=_TONES[change.change]),
            Cell(text=_versions_text(change)),
            Cell(text=size(change.entry.disk.size_bytes), right=True),
            Cell(text=change.entry.origin),
        )
        for change in changes
        if isinstance(change, LockChange)
    ]
    tables = [table(("image", "lock", "digest", "size", "origin"), rows, style)] if rows else []
    at_sites = [_site_row(change) for change in changes if isinstance(change, SitePinChange)]
    head = ("image", "lives at", "lock", "name there", "id", "created", "format", "disk", "checksum")
    tables += [table(head, at_sites, style)] if at_sites else []
    processors = [_processor_row(change) for change in changes if isinstance(change, ProcessorChange)]
    tables += [table(("site", "lock", "processor"), processors, style)] if processors else []
    return lines_text([line for lines in tables for line in (*lines, "")] + [_summary(changes)])


def lock_json(changes: Sequence[Change]) -> JsonObject:
    """Return the document of lock changes, with whole entries."""
    return {
        "kind": "pinned",
        "format": 1,
        "file": LOCK_FILE,
        "images": [
            {
                "name": change.name,
                "change": change.change,
                "before": _entry_json(change.before),
                "after": _entry_json(None if change.change == "removed" else change.entry),
            }
            for change in changes
            if isinstance(change, LockChange)
        ],
        "site_images": [
            {
                "name": change.name,
                "site": change.site,
                "change": change.change,
                "before": to_plain(change.before),
                "after": None if change.change == "removed" else to_plain(change.pin),
            }
            for change in changes
            if isinstance(change, SitePinChange)
        ],
        "processors": [
            {
                "site": change.site,
                "change": change.change,
                "before": change.before or None,
                "after": None if change.change == "removed" else change.processor,
            }
            for change in changes
            if isinstance(change, ProcessorChange)
        ],
    }


def _entry_json(entry: LockEntry | None) -> JsonObject | None:
    return None if entry is None else fields_json(entry, *LOCK_FIELDS)


def _site_row(change: SitePinChange) -> tuple[Cell, ...]:
    pin, before = change.pin, change.before
    moved = before is not None and before.id != pin.id
    return (
        Cell(text=change.name, tone="bold"),
        Cell(text=change.site),
        Cell(text=change.change, tone=_TONES[change.change]),
        Cell(text=pin.name),
        Cell(text=f"{before.id} → {pin.id}" if before is not None and moved else pin.id),
        Cell(text=pin.created or "unknown"),
        Cell(text=pin.format),
        Cell(text=size(pin.virtual_size_bytes), right=True),
        Cell(text=pin.checksum[:_CHECKSUM_LETTERS] or "none"),
    )


def _processor_row(change: ProcessorChange) -> tuple[Cell, ...]:
    moved = f"{change.before} → {change.processor}" if change.change == "moved" else change.processor
    return (
        Cell(text=change.site, tone="bold"),
        Cell(text=change.change, tone=_TONES[change.change]),
        Cell(text=moved),
    )


def _versions_text(change: LockChange) -> str:
    """Return the version, if the publisher has one, else the beginning of the digest; old and new if they differ."""
    if change.before is None or change.before.digest == change.entry.digest:
        return _version(change.entry)
    return f"{_version(change.before)} → {_version(change.entry)}"


def _version(entry: LockEntry) -> str:
    return entry.version or entry.digest[:_DIGITS]


def _summary(changes: Sequence[Change]) -> str:
    kept = [change for change in changes if change.change != "removed"]
    images = {change.name for change in kept if not isinstance(change, ProcessorChange)}
    sites = [change for change in kept if isinstance(change, ProcessorChange)]
    amounts = counted(len(images), "image") + (f" and {counted(len(sites), 'processor')}" if sites else "")
    changed = any(change.change != "same" for change in changes)
    return f"{LOCK_FILE} has {amounts}{'' if changed else ', unchanged'}."
