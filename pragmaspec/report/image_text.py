"""The tables of ``image``: what the store holds, what a disk is, what may go."""

from collections.abc import Sequence

from pragmaspec.frozen import Frozen
from pragmaspec.images.firmware.detect import BootSupport
from pragmaspec.report.json_forms import JsonObject
from pragmaspec.report.style import Style
from pragmaspec.report.table import Cell, table
from pragmaspec.text import counted, size


class StoredImageRow(Frozen, frozen=True):
    """An image of the store. ``here``: whether all its bytes are on this machine; ``used_by``: specs of this machine."""

    name: str
    digest: str
    origin: str
    format: str
    size_bytes: int
    virtual_size_bytes: int
    date: str
    here: bool
    used_by: tuple[str, ...] = ()


class InspectedFile(Frozen, frozen=True):
    """A file that was inspected and found good. ``layers``: what is around the disk, the outermost first.

    ``becomes``: the format of what nodes would boot. ``boots``: how it can start, None when it is given a kernel.
    """

    file: str
    layers: tuple[str, ...]
    format: str
    virtual_size_bytes: int
    becomes: str
    digest: str
    size_bytes: int
    boots: BootSupport | None = None


class PrunableFile(Frozen, frozen=True):
    """A file that may go, and why."""

    path: str
    bytes: int
    why: str


def stored_images_text(images: Sequence[StoredImageRow], pen: Style, *, all_known: bool = True) -> str:
    """One line per image. ``all_known``: whether what no stack is known to use is used by nobody."""
    nobody = "nobody" if all_known else "not known"
    if not images:
        return "The store is empty. `pragmaspec image fetch` brings the images of a spec here.\n"
    rows = [
        (
            Cell(text=image.name, tone="bold"),
            Cell(text=image.digest[:16]),
            Cell(text=image.format),
            Cell(text=size(image.size_bytes), right=True),
            Cell(text=size(image.virtual_size_bytes), right=True),
            Cell(text=image.date),
            Cell(text="yes" if image.here else ""),
            Cell(text=image.origin),
            Cell(text=counted(len(image.used_by), "stack") if image.used_by else nobody, tone="plain"),
        )
        for image in images
    ]
    return _text(table(("image", "digest", "format", "size", "disk", "since", "here", "from", "used by"), rows, pen))


def stored_images_json(images: Sequence[StoredImageRow], unread: Sequence[str] = ()) -> JsonObject:
    """The same for programs, digests whole. ``unread``: stacks that may use more of them than is said."""
    return {
        "kind": "images",
        "format": 1,
        "images": [
            {
                "name": image.name,
                "digest": image.digest,
                "origin": image.origin,
                "format": image.format,
                "size_bytes": image.size_bytes,
                "virtual_size_bytes": image.virtual_size_bytes,
                "date": image.date,
                "here": image.here,
                "used_by": list(image.used_by),
            }
            for image in images
        ],
        "unread": list(unread),
    }


def inspected_text(seen: InspectedFile, pen: Style) -> str:
    """What a file is, a line for each answer."""
    around = " in ".join((seen.format, *reversed(seen.layers)))
    lines = (
        ("file", seen.file),
        ("is", around),
        ("disk", f"{size(seen.virtual_size_bytes)} ({seen.virtual_size_bytes:,} bytes)"),
        (
            "becomes",
            f"{seen.becomes} of {size(seen.size_bytes)}" if seen.layers or seen.becomes != seen.format else "itself",
        ),
        ("sha256", seen.digest),
        ("boots", _boots_words(seen.boots)),
    )
    return "".join(f"{name:<8}  {pen.say(text)}\n" for name, text in lines)


def _boots_words(boots: BootSupport | None) -> str:
    if boots is None:
        return "yes, with a kernel of its own in the spec"
    by_uefi = f"by UEFI ({', '.join(boots.uefi)})"
    if boots.bios:
        return f"yes, by BIOS; {by_uefi} with `firmware: uefi`" if boots.uefi else "yes, by BIOS"
    return f"yes, {by_uefi}" if boots.uefi else f"no: it has {boots.unbootable}"


def inspected_json(seen: InspectedFile) -> JsonObject:
    """The same for programs."""
    return {
        "kind": "inspected",
        "format": 1,
        "file": seen.file,
        "layers": list(seen.layers),
        "disk_format": seen.format,
        "virtual_size_bytes": seen.virtual_size_bytes,
        "becomes": {"disk_format": seen.becomes, "sha256": seen.digest, "size_bytes": seen.size_bytes},
        "boots": _boots_form(seen.boots),
    }


def _boots_form(boots: BootSupport | None) -> JsonObject | None:
    if boots is None:
        return None
    return {
        "firmware": None if boots.unbootable else boots.default,
        "bios": boots.bios,
        "uefi": list(boots.uefi),
        "problem": boots.unbootable or None,
    }


def pruning_text(doomed: Sequence[PrunableFile], kept_files: int, kept_bytes: int, gone: Sequence[str], pen: Style) -> str:
    """What may go, why, and what stays."""
    kept = f"{counted(kept_files, 'file')} ({size(kept_bytes)}) of the store stay."
    lines = [f"{pen.say(name)} is no more: what only it needed is not kept for it." for name in gone]
    if not doomed:
        return _text([*lines, f"Nothing to remove. {kept}"])
    rows = [(Cell(text=size(each.bytes), right=True), Cell(text=each.why), Cell(text=each.path)) for each in doomed]
    return _text([*lines, *table(("size", "why", "file"), rows, pen), "", kept])


def pruning_json(
    doomed: Sequence[PrunableFile], kept_files: int, kept_bytes: int, gone: Sequence[str], *, removed: bool
) -> JsonObject:
    """The same for programs; ``removed``: whether it was done."""
    return {
        "kind": "pruned",
        "format": 1,
        "removed": removed,
        "files": [{"path": each.path, "bytes": each.bytes, "why": each.why} for each in doomed],
        "bytes": sum(each.bytes for each in doomed),
        "kept": {"files": kept_files, "bytes": kept_bytes},
        "gone": list(gone),
    }


def _text(lines: Sequence[str]) -> str:
    return "\n".join(lines) + "\n"
