"""Determine format and size of a disk image from its bytes alone, and refuse images that could reach other files.

A file of one format may pass for another, and some formats name other files of the host. So a file must have exactly one format,
the declared one, and nodes get only raw disks and plain qcow2; other disks are converted first.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

from pragmaspec.errors import ImageError, Problem
from pragmaspec.frozen import Frozen
from pragmaspec.images.formats.detect import FileFormat, ambiguity, detect_formats, head_and_tail
from pragmaspec.images.formats.qcow2 import QCOW2_MAGIC, qcow2_problems, virtual_size
from pragmaspec.images.formats.random_access import RandomAccess, open_regular
from pragmaspec.images.formats.raw import raw_problems
from pragmaspec.images.formats.vdi import vdi_problems, vdi_size
from pragmaspec.images.formats.vhd import vhd_problems, vhd_size
from pragmaspec.images.formats.vhdx import vhdx_problems, vhdx_size
from pragmaspec.images.formats.vmdk import vmdk_problems, vmdk_size
from pragmaspec.text import capitalized

MAX_VIRTUAL_BYTES = 2 * 2**40
BootFormat = Literal["qcow2", "raw"]
"""The formats that a node can boot from."""
DISK_FORMATS = ("raw", "qcow2", "vmdk", "vdi", "vhd", "vhdx")
"""The formats that a disk may be declared as; all but the first two are converted."""

_FOREIGN = {
    "vmdk": (vmdk_problems, vmdk_size),
    "vdi": (vdi_problems, vdi_size),
    "vhd": (vhd_problems, vhd_size),
    "vhdx": (vhdx_problems, vhdx_size),
}
_SIZE_ENDS_AT = 32
"""Offset in the header of a qcow2 file behind the size of the disk."""
_RAW, _QCOW2 = "raw", "qcow2"
_LEGITIMATE_PAIRS = {frozenset({"raw", "vhd"}): "vhd", frozenset({"raw", "iso"}): "raw"}
"""Formats that honest files combine (a fixed VHD is a raw disk and a footer; hybrid CDs), and the one to declare."""


class BootDisk(Frozen, frozen=True):
    """A disk image that a node can boot from."""

    format: BootFormat
    virtual_size_bytes: int


class DiskInfo(Frozen, frozen=True):
    """A disk image that is safe to read, in one of ``DISK_FORMATS``."""

    format: str
    virtual_size_bytes: int


def inspect_file(file: Path, declared: str | None, *, partitionless: bool = False) -> BootDisk:
    """Inspect a disk file that is to be used as it is. Raises ImageError with every reason against it."""
    with open_regular(file) as disk:
        return inspect(disk, declared, partitionless=partitionless)


def inspect(disk: RandomAccess, declared: str | None, *, partitionless: bool = False) -> BootDisk:
    """Inspect a raw disk or a qcow2 that is to be used as it is.

    ``partitionless`` allows a raw image without a partition table, as for direct kernel boot. Raises ImageError with every reason
    against the image.
    """
    for each in detect_formats(*head_and_tail(disk)):
        if each.name in _FOREIGN or each.family == "packed":
            advice = "unpack or convert it first (pragmaspec image convert)"
            raise image_refused([f"it is {each.description}, not a disk image; {advice}"])
    found = inspect_any(disk, declared, partitionless=partitionless)
    return BootDisk(format="qcow2" if found.format == _QCOW2 else "raw", virtual_size_bytes=found.virtual_size_bytes)


def inspect_any(disk: RandomAccess, declared: str | None, *, partitionless: bool = False) -> DiskInfo:
    """Inspect a disk in any of ``DISK_FORMATS``. Raises ImageError with every reason against it."""
    if not disk.size:
        raise image_refused(["it is empty"])
    head, tail = head_and_tail(disk)
    format_, reasons = _resolve_format(detect_formats(head, tail), declared)
    if not reasons or format_ == _QCOW2:
        reasons.extend(_problems(format_, disk, head, partitionless))
    if reasons:
        raise image_refused(reasons)
    return DiskInfo(format=format_, virtual_size_bytes=_virtual_size(format_, disk, head))


def read_disk_header(disk: RandomAccess) -> BootDisk:
    """Return format and size of a disk that was inspected before, from its first bytes alone."""
    head = disk.read_at(0, _SIZE_ENDS_AT)
    if head.startswith(QCOW2_MAGIC):
        return BootDisk(format="qcow2", virtual_size_bytes=virtual_size(head))
    return BootDisk(format="raw", virtual_size_bytes=disk.size)


def image_refused(reasons: Iterable[str]) -> ImageError:
    """Return the error with a problem per reason."""
    return ImageError.of(Problem(summary="Image refused", detail=f"{capitalized(reason)}.") for reason in reasons)


def _resolve_format(found: tuple[FileFormat, ...], declared: str | None) -> tuple[str, list[str]]:
    """Return the format of a disk with these detected formats, and the reasons against it."""
    names = frozenset(each.name for each in found)
    if declared is not None and declared == _LEGITIMATE_PAIRS.get(names):
        return declared, []
    if len(found) > 1:
        first = next((each.name for each in found if each.family == "disk"), _RAW)
        advice = f"; if you trust it, {_declare(_LEGITIMATE_PAIRS[names])}" if names in _LEGITIMATE_PAIRS else ""
        return first, [f"{ambiguity(found)}{advice}"]
    if not found:
        if declared is None:
            return _RAW, [f"its format cannot be detected; if it is a raw disk, {_declare(_RAW)}"]
        return _RAW, [] if declared == _RAW else [f"it is declared as {declared}, but is not"]
    (only,) = found
    if only.family != "disk":
        return only.name, [f"it is {only.description}, not a disk image"]
    if declared in {None, only.name}:
        return only.name, []
    danger = "; a raw disk that contains another format can reach other files" if declared == _RAW else ""
    return only.name, [f"it is declared as {declared}, but is {only.name}{danger}"]


def _declare(format_: str) -> str:
    """Return how to declare the format."""
    return f"declare it: `format: {format_}` in a spec, `--format {format_}` on the command line"


def _problems(format_: str, disk: RandomAccess, head: bytes, partitionless: bool) -> Iterator[str]:
    if format_ == _QCOW2:
        return qcow2_problems(head, disk.size, MAX_VIRTUAL_BYTES)
    if format_ in _FOREIGN:
        return _FOREIGN[format_][0](disk, MAX_VIRTUAL_BYTES)
    return raw_problems(head, disk.size, MAX_VIRTUAL_BYTES, partitionless=partitionless)


def _virtual_size(format_: str, disk: RandomAccess, head: bytes) -> int:
    if format_ == _QCOW2:
        return virtual_size(head)
    return _FOREIGN[format_][1](disk) if format_ in _FOREIGN else disk.size
