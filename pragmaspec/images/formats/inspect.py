"""What a disk image is, judged by its own bytes and by nothing else; an image that could reach beyond itself is refused.

A file of one format may pass for another, and some formats name other files of the host. So a file has to show exactly one
format, that has to be the declared one, and nodes get only raw disks and plain qcow2; other disks are converted first.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pragmaspec.errors import ImageError, Problem
from pragmaspec.frozen import Frozen
from pragmaspec.images.formats.detect import FileFormat, detect_formats, head_and_tail
from pragmaspec.images.formats.qcow2 import QCOW2_MAGIC, qcow2_problems, virtual_size
from pragmaspec.images.formats.random_access import RandomAccess, RandomAccessBytes, open_regular
from pragmaspec.images.formats.raw import raw_problems
from pragmaspec.images.formats.vdi import vdi_problems, vdi_size
from pragmaspec.images.formats.vhd import vhd_problems, vhd_size
from pragmaspec.images.formats.vhdx import vhdx_problems, vhdx_size
from pragmaspec.images.formats.vmdk import vmdk_problems, vmdk_size

MAX_VIRTUAL_BYTES = 2 * 2**40
BootFormat = Literal["qcow2", "raw"]
"""What a node can boot from."""
DISK_FORMATS = ("raw", "qcow2", "vmdk", "vdi", "vhd", "vhdx")
"""What a disk may be declared as; all but the first two are converted."""

_FOREIGN = {
    "vmdk": (vmdk_problems, vmdk_size),
    "vdi": (vdi_problems, vdi_size),
    "vhd": (vhd_problems, vhd_size),
    "vhdx": (vhdx_problems, vhdx_size),
}
_SIZE_ENDS_AT = 32
"""Behind the size of the disk in the header of a qcow2 file."""
_RAW, _QCOW2 = "raw", "qcow2"
_HONEST_PAIRS = {frozenset({"raw", "vhd"}): "vhd", frozenset({"raw", "iso"}): "raw"}
"""Formats that files show together by their nature (a fixed VHD is a raw disk and a footer; hybrid CDs), and what to declare."""


class BootDisk(Frozen, frozen=True):
    """A disk image that is safe to use."""

    format: BootFormat
    virtual_size_bytes: int


class DiskInfo(Frozen, frozen=True):
    """A disk of any format that is safe to read: one of ``DISK_FORMATS``."""

    format: str
    virtual_size_bytes: int


def inspect_file(file: Path, declared: str | None, *, partitionless: bool = False) -> BootDisk:
    """Inspect a disk that is to be used as it is. Raises ImageError with every reason against it."""
    with open_regular(file) as window:
        return inspect(window, declared, partitionless=partitionless)


def inspect_bytes(content: bytes, declared: str | None, *, partitionless: bool = False) -> BootDisk:
    """Inspect a disk in memory. Raises ImageError with every reason against it."""
    return inspect(RandomAccessBytes(content), declared, partitionless=partitionless)


def inspect(window: RandomAccess, declared: str | None, *, partitionless: bool = False) -> BootDisk:
    """Inspect a disk that is to be used as it is, so a raw one or a qcow2.

    ``partitionless`` allows a raw image without partition table, as direct kernel boot uses them. Raises ImageError with every
    reason against the image.
    """
    head, tail = head_and_tail(window)
    found = detect_formats(head, tail)
    for kind in found:
        if kind.name in _FOREIGN or kind.family == "packed":
            raise image_refused([f"it is {kind.words}, not a disk image; unpack or convert it first (pragmaspec image convert)"])
    seen = inspect_any(window, declared, partitionless=partitionless)
    return BootDisk(format="qcow2" if seen.format == _QCOW2 else "raw", virtual_size_bytes=seen.virtual_size_bytes)


def inspect_any(window: RandomAccess, declared: str | None, *, partitionless: bool = False) -> DiskInfo:
    """Inspect a disk of any format that is known. Raises ImageError with every reason against it."""
    if not window.size:
        raise image_refused(["it is empty, so there is no disk in it"])
    head, tail = head_and_tail(window)
    format_, reasons = resolve_format(detect_formats(head, tail), declared)
    if not reasons or format_ == _QCOW2:
        reasons.extend(_against(format_, window, head, partitionless))
    if reasons:
        raise image_refused(reasons)
    return DiskInfo(format=format_, virtual_size_bytes=_size(format_, window, head))


def read_disk_header(window: RandomAccess) -> BootDisk:
    """What a disk is that was inspected before, by its first bytes alone."""
    head = window.at(0, _SIZE_ENDS_AT)
    if head.startswith(QCOW2_MAGIC):
        return BootDisk(format="qcow2", virtual_size_bytes=virtual_size(head))
    return BootDisk(format="raw", virtual_size_bytes=window.size)


def resolve_format(found: tuple[FileFormat, ...], declared: str | None) -> tuple[str, list[str]]:
    """The format of a disk that shows ``found``, with the reasons against believing it."""
    names = frozenset(kind.name for kind in found)
    if declared is not None and declared == _HONEST_PAIRS.get(names):
        return declared, []
    if len(found) > 1:
        first = next((kind.name for kind in found if kind.family == "disk"), _RAW)
        both = " and as ".join(kind.words for kind in found)
        advice = f"; if you trust it, {_declare(_HONEST_PAIRS[names])}" if names in _HONEST_PAIRS else ""
        return first, [f"it can be read as {both}, and one file must not be two things{advice}"]
    if not found:
        if declared is None:
            return _RAW, [f"its bytes show no format; when it is a raw disk, {_declare(_RAW)}"]
        return _RAW, [] if declared == _RAW else [f"it is declared {declared}, and its bytes are not"]
    kind = found[0]
    if kind.family != "disk":
        return kind.name, [f"it is {kind.words}, not a disk image"]
    if declared in {None, kind.name}:
        return kind.name, []
    danger = "; a raw disk that holds another format reaches other files" if declared == _RAW else ""
    return kind.name, [f"it is declared {declared}, and its bytes are {kind.name}{danger}"]


def _declare(format_: str) -> str:
    """How a person says what the format is."""
    return f"say so: `format: {format_}` in a spec, `--format {format_}` on the command line"


def image_refused(reasons: list[str]) -> ImageError:
    """The error that tells all reasons."""
    return ImageError.of(Problem(summary="Image refused", detail=f"{reason[0].upper()}{reason[1:]}.") for reason in reasons)


def _against(format_: str, window: RandomAccess, head: bytes, partitionless: bool) -> Iterator[str]:
    if format_ == _QCOW2:
        return qcow2_problems(head, window.size, MAX_VIRTUAL_BYTES)
    if format_ in _FOREIGN:
        return _FOREIGN[format_][0](window, MAX_VIRTUAL_BYTES)
    return raw_problems(head, window.size, MAX_VIRTUAL_BYTES, partitionless=partitionless)


def _size(format_: str, window: RandomAccess, head: bytes) -> int:
    if format_ == _QCOW2:
        return virtual_size(head)
    return _FOREIGN[format_][1](window) if format_ in _FOREIGN else window.size
