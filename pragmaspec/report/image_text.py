"""The output of ``image``: stored images, inspected files, and files to prune."""

from collections.abc import Sequence

from pragmaspec.frozen import Frozen, to_plain
from pragmaspec.images.firmware.detect import BootSupport
from pragmaspec.report.json_forms import JsonObject
from pragmaspec.report.style import Style
from pragmaspec.report.table import Cell, lines_text, table
from pragmaspec.text import counted, size


class StoredImageRow(Frozen, frozen=True):
    """An image of the store."""

    name: str
    digest: str
    origin: str
    format: str
    size_bytes: int
    virtual_size_bytes: int
    date: str
    here: bool
    """True if all its files are on this machine."""
    used_by: tuple[str, ...] = ()
    """Specs or states of this machine."""


class InspectedFile(Frozen, frozen=True):
    """A valid disk image."""

    file: str
    layers: tuple[str, ...]
    """Compression and archive formats around the disk, the outermost first."""
    format: str
    virtual_size_bytes: int
    becomes: str
    """Format of the disk that nodes boot; ``digest`` and ``size_bytes`` are of that disk too."""
    digest: str
    size_bytes: int
    boots: BootSupport | None = None
    """None if the spec gives it a kernel."""


class PrunableFile(Frozen, frozen=True):
    """A file to remove."""

    path: str
    bytes: int
    why: str


def stored_images_text(images: Sequence[StoredImageRow], style: Style, *, all_known: bool = True) -> str:
    """Return a table of images. ``all_known``: images without known users are unused."""
    unused = "none" if all_known else "unknown"
    if not images:
        return "The store is empty. `pragmaspec image fetch` downloads the images of a spec.\n"
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
            Cell(text=counted(len(image.used_by), "stack") if image.used_by else unused, tone="plain"),
        )
        for image in images
    ]
    return lines_text(table(("image", "digest", "format", "size", "disk", "since", "local", "from", "used by"), rows, style))


def stored_images_json(images: Sequence[StoredImageRow], unread: Sequence[str] = ()) -> JsonObject:
    """Return the document of stored images. ``unread``: stacks that may use more of them than is shown."""
    return {"kind": "images", "format": 1, "images": [to_plain(image) for image in images], "unread": list(unread)}


def inspected_text(inspected: InspectedFile, style: Style) -> str:
    """Return the properties of a file, one per line."""
    disk = size(inspected.virtual_size_bytes)
    converted = bool(inspected.layers) or inspected.becomes != inspected.format
    lines = (
        ("file", inspected.file),
        ("format", " in ".join((inspected.format, *reversed(inspected.layers)))),
        ("disk", f"{disk} ({inspected.virtual_size_bytes:,} bytes)"),
        ("converted", f"to {inspected.becomes}, {size(inspected.size_bytes)}" if converted else "no"),
        ("sha256", inspected.digest),
        ("boots", _boots_text(inspected.boots)),
    )
    return "".join(f"{name:<9}  {style.safe(text)}\n" for name, text in lines)


def inspected_json(inspected: InspectedFile) -> JsonObject:
    """Return the document of an inspected file."""
    return {
        "kind": "inspected",
        "format": 1,
        "file": inspected.file,
        "layers": list(inspected.layers),
        "disk_format": inspected.format,
        "virtual_size_bytes": inspected.virtual_size_bytes,
        "becomes": {"disk_format": inspected.becomes, "sha256": inspected.digest, "size_bytes": inspected.size_bytes},
        "boots": _boots_json(inspected.boots),
    }


def pruning_text(files: Sequence[PrunableFile], kept_files: int, kept_bytes: int, gone: Sequence[str], style: Style) -> str:
    """Return a table of files to remove, and the number of files kept. ``gone``: stacks that no longer exist."""
    kept = f"{counted(kept_files, 'file')} ({size(kept_bytes)}) {'is' if kept_files == 1 else 'are'} kept."
    lines = [f"{style.safe(name)} no longer exists: its images are not kept for it." for name in gone]
    if not files:
        return lines_text([*lines, f"Nothing to remove. {kept}"])
    rows = [(Cell(text=size(each.bytes), right=True), Cell(text=each.why), Cell(text=each.path)) for each in files]
    return lines_text([*lines, *table(("size", "why", "file"), rows, style), "", kept])


def pruning_json(
    files: Sequence[PrunableFile], kept_files: int, kept_bytes: int, gone: Sequence[str], *, removed: bool
) -> JsonObject:
    """Return the document of pruned files. ``removed``: False if they were only listed."""
    return {
        "kind": "pruned",
        "format": 1,
        "removed": removed,
        "files": [to_plain(each) for each in files],
        "bytes": sum(each.bytes for each in files),
        "kept": {"files": kept_files, "bytes": kept_bytes},
        "gone": list(gone),
    }


def _boots_text(boots: BootSupport | None) -> str:
    if boots is None:
        return "yes, with the kernel of the spec"
    by_uefi = f"with UEFI ({', '.join(boots.uefi)})"
    if boots.bios:
        return f"yes, with BIOS; {by_uefi} if `firmware: uefi`" if boots.uefi else "yes, with BIOS"
    return f"yes, {by_uefi}" if boots.uefi else f"no: it has {boots.unbootable}"


def _boots_json(boots: BootSupport | None) -> JsonObject | None:
    if boots is None:
        return None
    return {
        "firmware": None if boots.unbootable else boots.default,
        "bios": boots.bios,
        "uefi": list(boots.uefi),
        "problem": boots.unbootable or None,
    }
