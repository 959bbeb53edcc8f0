"""A disk of any format into a file of any format, outside the store."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from pragmaspec.errors import UsageError
from pragmaspec.frozen import Frozen
from pragmaspec.images.archives.compress import COMPRESSION_SUFFIXES, compressed_writer
from pragmaspec.images.archives.stream import file_chunks
from pragmaspec.images.formats import qemu_img
from pragmaspec.images.formats.qcow2_writer import write_qcow2
from pragmaspec.images.formats.random_access import open_regular
from pragmaspec.images.formats.sparse import read_blocks, write_sparse

_SUFFIXES = {"raw": "raw", "img": "raw", "qcow2": "qcow2", "vmdk": "vmdk", "vdi": "vdi", "vhd": "vhd", "vhdx": "vhdx"}
_OPTIONS = {"vmdk": "subformat=streamOptimized", "vhd": "subformat=fixed,force_size=on"}
"""What other platforms take: vSphere and OVA want compressed streams, Azure wants fixed disks."""
_MOST_OVERHEAD = 64 * 2**20
"""What a format may add to the size of the disk."""


class ConversionTarget(Frozen, frozen=True):
    """A file to be made: the format of the disk in it, and how that is compressed, empty for not at all."""

    file: str
    format: str
    packing: str = ""


def conversion_target(file: Path, format_: str | None) -> ConversionTarget:
    """What ``file`` shall be, by its name unless ``format_`` says more. Raises UsageError when neither tells."""
    suffixes = [suffix.removeprefix(".").lower() for suffix in file.suffixes]
    packing = suffixes.pop() if suffixes and suffixes[-1] in COMPRESSION_SUFFIXES else ""
    if format_ is not None and format_ not in _SUFFIXES.values():
        detail = (
            f"{format_} is no format of a disk that can be written. Say --to with {', '.join(dict.fromkeys(_SUFFIXES.values()))}."
        )
        raise UsageError("Format not known", detail)
    found = format_ or (_SUFFIXES.get(suffixes[-1]) if suffixes else None)
    if found is None:
        known = ", ".join(f".{suffix}" for suffix in _SUFFIXES)
        raise UsageError(
            "Format not known",
            f"The name {file.name} tells no format. End it in one of {known}, with .{', .'.join(COMPRESSION_SUFFIXES)} behind "
            "it to compress, or say --to FORMAT.",
        )
    return ConversionTarget(file=str(file), format=found, packing=packing)


def convert_disk(
    disk: Path, format_: str, size_bytes: int, target: ConversionTarget, counted: Callable[[int, int], None]
) -> None:
    """Write the inspected disk in the file ``disk``, of ``format_`` and this virtual size, to a file.

    Nothing stands under its name before it is whole. Raises ImageError, and UsageError when the directory cannot be written.
    """
    try:
        with tempfile.TemporaryDirectory(prefix=".pragmaspec-", dir=Path(target.file).parent) as scratch:
            _convert(disk, format_, size_bytes, target, Path(scratch), counted)
    except OSError as error:
        raise UsageError("File not writable", f"{target.file}: {error.strerror or error}.") from None


def _convert(
    disk: Path, format_: str, size_bytes: int, target: ConversionTarget, scratch: Path, counted: Callable[[int, int], None]
) -> None:
    whole = scratch / "whole"
    _reformat(disk, format_, size_bytes, target.format, whole, counted)
    if target.packing:
        packed = scratch / "packed"
        with open_regular(whole) as window, compressed_writer(target.packing, packed) as write:
            for piece in file_chunks(window, counted):
                write(piece)
        whole = packed
    with whole.open("rb") as file_:
        os.fsync(file_.fileno())
    whole.replace(target.file)


def _reformat(disk: Path, format_: str, size_bytes: int, to: str, target: Path, counted: Callable[[int, int], None]) -> None:
    if to == format_:
        _copy(disk, target)
    elif (format_, to) == ("raw", "qcow2"):
        with open_regular(disk) as window, target.open("xb") as file:
            write_qcow2(file, read_blocks(window.handle))
    else:
        qemu_img.convert(
            disk,
            format_,
            target,
            to,
            most_bytes=size_bytes + _MOST_OVERHEAD,
            options=_OPTIONS.get(to, ""),
            counted=lambda percent: counted(size_bytes * percent // 100, size_bytes),
        )


def _copy(disk: Path, target: Path) -> None:
    handle = os.open(target, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        with open_regular(disk) as window:
            write_sparse(handle, read_blocks(window.handle))
    finally:
        os.close(handle)
