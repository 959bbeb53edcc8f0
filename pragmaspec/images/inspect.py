"""What a disk image is, judged by its own bytes and by nothing else; an image that could reach beyond itself is refused.

A file of one format may pass for another, and some formats name other files of the host. So the declared format has to be the
one that the bytes show, and only raw disks and plain qcow2 are let through.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pragmaspec.errors import ImageError, Problem
from pragmaspec.frozen import Frozen
from pragmaspec.images.qcow2 import QCOW2_MAGIC, against_qcow2, virtual_size

HEAD_BYTES = 2**20
TAIL_BYTES = 4096
SECTOR = 512
LEAST_RAW_BYTES = 2**20
MOST_VIRTUAL_BYTES = 2 * 2**40
Format = Literal["qcow2", "raw"]

_MAGICS = (
    (0, b"QED\0", "QED"), (0, b"KDMV", "VMDK"), (0, b"COWD", "VMDK"), (0, b"# Disk DescriptorFile", "VMDK"),
    (0, b"vhdxfile", "VHDX"), (0, b"conectix", "VHD"), (64, b"\x7f\x10\xda\xbe", "VDI"), (0, b"LUKS\xba\xbe", "LUKS"),
    (0, b"\x1f\x8b", "gzip"), (0, b"\xfd7zXZ\0", "xz"), (0, b"\x28\xb5\x2f\xfd", "zstd"), (0, b"BZh", "bzip2"),
    (0, b"PK\x03\x04", "zip"), (257, b"ustar", "tar"), (0, b"\x7fELF", "ELF program"), (0, b"#!", "script"),
    (0, b"WithoutFreeSpace", "Parallels"), (0, b"WithouFreSpacExt", "Parallels"),
)  # fmt: skip
_TEXT = frozenset(b"\t\n\r\f") | frozenset(range(32, 127))


class Inspected(Frozen, frozen=True):
    """A disk image that is safe to use."""

    format: Format
    virtual_size_bytes: int


def inspect_file(file: Path, declared: Format | None, *, partitionless: bool = False) -> Inspected:
    """Inspect a file. Raises ImageError with every reason against it."""
    with file.open("rb") as stream:
        head = stream.read(HEAD_BYTES)
        size = stream.seek(0, 2)
        stream.seek(max(0, size - TAIL_BYTES))
        tail = stream.read()
    return inspect_bytes(head, tail, size, declared, partitionless=partitionless)


def inspect_bytes(head: bytes, tail: bytes, size: int, declared: Format | None, *, partitionless: bool = False) -> Inspected:
    """Inspect an image of ``size`` bytes by its first MiB and last 4 KiB (less when it is shorter).

    ``partitionless`` allows a raw image without partition table, as direct kernel boot uses them. Raises ImageError with every
    reason against the image.
    """
    if head.startswith(QCOW2_MAGIC):
        reasons = list(against_qcow2(head, size, MOST_VIRTUAL_BYTES))
        if declared == "raw":
            reasons.insert(0, "it is declared raw, and its bytes are qcow2; a raw disk that holds qcow2 reaches other files")
        found = Inspected(format="qcow2", virtual_size_bytes=virtual_size(head))
    else:
        reasons = list(_against_raw(head, tail, size, partitionless))
        if declared == "qcow2":
            reasons.insert(0, "it is declared qcow2, and its bytes are not")
        elif declared is None and not reasons and head[510:512] != b"\x55\xaa":
            reasons.append("its bytes show no format; when it is a raw disk, say so with `format: raw`")
        found = Inspected(format="raw", virtual_size_bytes=size)
    if reasons:
        raise ImageError(*(Problem(summary="image refused", detail=f"{reason[0].upper()}{reason[1:]}.") for reason in reasons))
    return found


def _against_raw(head: bytes, tail: bytes, size: int, partitionless: bool) -> Iterator[str]:
    kind = _other_kind(head, tail)
    if kind:
        yield f"it is {kind}, not a disk image; unpack or convert it first (qemu-img convert -O qcow2)"
        return
    if size < LEAST_RAW_BYTES or size % SECTOR:
        yield f"a raw disk has at least 1 MiB and whole sectors of 512 bytes; this file has {size} bytes"
    if size > MOST_VIRTUAL_BYTES:
        yield "it is larger than 2 TiB"
    if not partitionless and head[510:512] != b"\x55\xaa":
        yield "it has no partition table, so nothing can start from it; give it a `kernel`, or use another image"


def _other_kind(head: bytes, tail: bytes) -> str | None:
    """What a file is that has another known format than a disk's, in words for people."""
    for offset, magic, name in _MAGICS:
        if head[offset : offset + len(magic)] == magic:
            return f"a file of the format {name}"
    if tail[-512:].startswith(b"conectix"):
        return "a file of the format VHD"
    if head[32769:32774] in {b"CD001", b"NSR02", b"NSR03"} and head[510:512] != b"\x55\xaa":
        return "a CD image (ISO 9660)"
    start = head[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        return "a web page"
    if head and _is_text(head[:4096]):
        return "a text"
    return None


def _is_text(start: bytes) -> bool:
    return _TEXT.issuperset(start)
