"""Convert a disk into a file of another format, outside the store."""

import os
import tempfile
from pathlib import Path

from pragmaspec.errors import UsageError
from pragmaspec.frozen import Frozen
from pragmaspec.images.archives.compress import COMPRESSION_SUFFIXES, compressed_writer
from pragmaspec.images.archives.stream import file_chunks
from pragmaspec.images.formats import qemu_img
from pragmaspec.images.formats.qcow2_writer import write_qcow2
from pragmaspec.images.formats.random_access import open_regular
from pragmaspec.images.formats.sparse import read_blocks, write_sparse
from pragmaspec.images.store.blobs import ProgressCallback

_SUFFIXES = {"raw": "raw", "img": "raw", "qcow2": "qcow2", "vmdk": "vmdk", "vdi": "vdi", "vhd": "vhd", "vhdx": "vhdx"}
_OPTIONS = {"vmdk": "subformat=streamOptimized", "vhd": "subformat=fixed,force_size=on"}
"""Variants that other platforms import: vSphere and OVA need compressed streams, Azure needs fixed disks."""
_MAX_OVERHEAD = 64 * 2**20
"""Bytes that a format may add to the size of the disk."""


class ConversionTarget(Frozen, frozen=True):
    """A file to write: the format of the disk in it, and the suffix of its compression, empty for none."""

    file: str
    format: str
    compression: str = ""


def conversion_target(file: Path, format_: str | None) -> ConversionTarget:
    """Determine format and compression from the name of ``file``, unless ``format_`` is given. Raises UsageError."""
    suffixes = [suffix.removeprefix(".").lower() for suffix in file.suffixes]
    compression = suffixes.pop() if suffixes and suffixes[-1] in COMPRESSION_SUFFIXES else ""
    if format_ is not None and format_ not in _SUFFIXES.values():
        known = ", ".join(dict.fromkeys(_SUFFIXES.values()))
        raise UsageError("Unknown format", f"Disks cannot be written as {format_}. Use --to with one of {known}.")
    found = format_ or (_SUFFIXES.get(suffixes[-1]) if suffixes else None)
    if found is None:
        known = ", ".join(f".{suffix}" for suffix in _SUFFIXES)
        raise UsageError(
            "Unknown format",
            f"The name {file.name} has no suffix of a disk format. Use one of {known}, followed by "
            f".{', .'.join(COMPRESSION_SUFFIXES)} to compress, or use --to FORMAT.",
        )
    return ConversionTarget(file=str(file), format=found, compression=compression)


def convert_disk(disk: Path, format_: str, size_bytes: int, target: ConversionTarget, progress: ProgressCallback) -> None:
    """Write the inspected file ``disk``, of ``format_`` and this virtual size, to a file.

    The target appears under its name when it is complete. Raises ImageError, and UsageError if its folder is not writable.
    """
    try:
        with tempfile.TemporaryDirectory(prefix=".pragmaspec-", dir=Path(target.file).parent) as scratch:
            _convert(disk, format_, size_bytes, target, Path(scratch), progress)
    except OSError as error:
        raise UsageError("File not writable", f"{target.file}: {error.strerror or error}.") from None


def _convert(
    disk: Path, format_: str, size_bytes: int, target: ConversionTarget, scratch: Path, progress: ProgressCallback
) -> None:
    result = scratch / "whole"
    _reformat(disk, format_, size_bytes, target.format, result, progress)
    if target.compression:
        compressed = scratch / "packed"
        with open_regular(result) as opened, compressed_writer(target.compression, compressed) as write:
            for chunk in file_chunks(opened, progress):
                write(chunk)
        result = compressed
    with result.open("rb") as stream:
        os.fsync(stream.fileno())
    result.replace(target.file)


def _reformat(disk: Path, format_: str, size_bytes: int, to: str, target: Path, progress: ProgressCallback) -> None:
    if to == format_:
        _copy(disk, target)
    elif (format_, to) == ("raw", "qcow2"):
        with open_regular(disk) as opened, target.open("xb") as stream:
            write_qcow2(stream, read_blocks(opened.handle))
    else:
        qemu_img.convert(
            disk,
            format_,
            target,
            to,
            max_bytes=size_bytes + _MAX_OVERHEAD,
            options=_OPTIONS.get(to, ""),
            on_percent=lambda percent: progress(size_bytes * percent // 100, size_bytes),
        )


def _copy(disk: Path, target: Path) -> None:
    handle = os.open(target, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        with open_regular(disk) as opened:
            write_sparse(handle, read_blocks(opened.handle))
    finally:
        os.close(handle)
