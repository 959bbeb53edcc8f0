"""What a disk image is, judged by its own bytes and by nothing else; an image that could reach beyond itself is refused.

A qcow2 file may name other files of the host (backing file, external data file), and a file of one format may pass for another.
So the declared format has to be the one that the bytes show, and only the plain features of qcow2 are let through. This is
stricter than ``qemu-img info``, which follows such references. Source: QEMU's ``docs/interop/qcow2.txt``.
"""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pragmaspec.errors import ImageError, Problem
from pragmaspec.frozen import Frozen

HEAD_BYTES = 2**20
TAIL_BYTES = 4096
SECTOR = 512
LEAST_RAW_BYTES = 2**20
MOST_VIRTUAL_BYTES = 2 * 2**40
Format = Literal["qcow2", "raw"]

QCOW2_MAGIC = b"QFI\xfb"
_MAGICS = (
    (0, b"QED\0", "QED"), (0, b"KDMV", "VMDK"), (0, b"COWD", "VMDK"), (0, b"# Disk DescriptorFile", "VMDK"), (0, b"vhdxfile", "VHDX"),
    (0, b"conectix", "VHD"), (64, b"\x7f\x10\xda\xbe", "VDI"), (0, b"LUKS\xba\xbe", "LUKS"), (0, b"\x1f\x8b", "gzip"),
    (0, b"\xfd7zXZ\0", "xz"), (0, b"\x28\xb5\x2f\xfd", "zstd"), (0, b"BZh", "bzip2"), (0, b"PK\x03\x04", "zip"), (257, b"ustar", "tar"),
    (0, b"\x7fELF", "ELF program"), (0, b"WithoutFreeSpace", "Parallels"), (0, b"WithouFreSpacExt", "Parallels"), (0, b"#!", "script"),
)  # fmt: skip
_BACKING_FORMAT, _DATA_FILE, _FEATURE_NAMES, _BITMAPS = 0xE2792ACA, 0x44415441, 0x6803F857, 0x23852875
_KNOWN_INCOMPATIBLE = 1 << 0 | 1 << 3 | 1 << 4
"""Dirty, compression type, extended L2 entries."""


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
        reasons = list(_against_qcow2(head, size))
        if declared == "raw":
            reasons.insert(0, "it is declared raw, and its bytes are qcow2; a raw disk that holds qcow2 reaches other files")
        found = Inspected(format="qcow2", virtual_size_bytes=struct.unpack_from(">Q", head.ljust(32, b"\0"), 24)[0])
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
    return all(byte in b"\t\n\r\f" or 32 <= byte < 127 for byte in start)


def _against_qcow2(head: bytes, size: int) -> Iterator[str]:
    if len(head) < 72:
        yield "its qcow2 header is cut off"
        return
    version, backing_at, backing_length, cluster_bits, virtual, crypt, l1_entries, l1_at, table_at, table_clusters, snapshots = (
        struct.unpack_from(">IQIIQIIQQII", head, 4)
    )
    if version not in {2, 3} or len(head) < (104 if version == 3 else 72):
        yield f"qcow2 version {version} is not known, or its header is cut off"
        return
    if backing_at or backing_length:
        yield "it has a backing file: it is only the difference to another image; merge them (qemu-img convert -O qcow2)"
    if crypt:
        yield "it is encrypted"
    if snapshots:
        yield "it holds internal snapshots; remove them (qemu-img snapshot -d)"
    if head[510:512] == b"\x55\xaa":
        yield "its header can also be read as a boot sector"
    if not 0 < virtual <= MOST_VIRTUAL_BYTES or virtual % SECTOR:
        yield f"its virtual size of {virtual} bytes is not one of 512 bytes to 2 TiB in whole sectors"
    if not 9 <= cluster_bits <= 21:
        yield f"clusters of 2^{cluster_bits} bytes are outside the format"
        return
    cluster = 1 << cluster_bits
    extended, header_length = False, 72
    if version == 3:
        incompatible, _, autoclear, refcount_order, header_length = struct.unpack_from(">QQQII", head, 72)
        extended = bool(incompatible & 1 << 4)
        yield from _against_features(head, incompatible, autoclear, refcount_order, header_length)
    yield from _against_tables(size, cluster, virtual, (l1_at, l1_entries), (table_at, table_clusters), extended=extended)
    yield from _against_extensions(head, cluster, header_length)


def _against_features(head: bytes, incompatible: int, autoclear: int, refcount_order: int, header_length: int) -> Iterator[str]:
    if incompatible & 1 << 2 or autoclear & 1 << 1:
        yield "its data stands in another file"
    if incompatible & 1 << 1:
        yield "it is marked corrupt; repair it (qemu-img check -r all)"
    if incompatible & ~(_KNOWN_INCOMPATIBLE | 1 << 1 | 1 << 2):
        yield f"it uses features that are not known ({incompatible:#x})"
    if refcount_order > 6:
        yield f"reference counts of 2^{refcount_order} bits are outside the format"
    if not 104 <= header_length <= 4096 or header_length % 8:
        yield f"a header of {header_length} bytes is outside the format"
    elif incompatible & 1 << 3 and (header_length <= 104 or head[104:105] not in {b"\0", b"\1"}):
        yield "its kind of compression is not known"


def _against_tables(
    size: int, cluster: int, virtual: int, l1: tuple[int, int], refcounts: tuple[int, int], *, extended: bool
) -> Iterator[str]:
    """The two tables that everything else hangs from have to lie in the file and be as large as the disk asks for."""
    l1_at, l1_entries = l1
    table_at, table_clusters = refcounts
    covered = cluster * (cluster // (16 if extended else 8))
    if not -(-virtual // covered) <= l1_entries <= 4 * 2**20:
        yield f"its first table has {l1_entries} entries, which does not fit its size"
    for name, offset, length in (("first", l1_at, l1_entries * 8), ("reference count", table_at, table_clusters * cluster)):
        if offset % cluster or not cluster <= offset or offset + length > size or length > 32 * 2**20 or not length:
            yield f"its {name} table does not lie inside the file"


def _against_extensions(head: bytes, cluster: int, header_length: int) -> Iterator[str]:
    at, end = header_length, min(cluster, len(head))
    for _ in range(64):
        if at + 8 > end:
            break
        kind, length = struct.unpack_from(">II", head, at)
        if kind == 0:
            return
        if kind == _DATA_FILE:
            yield "it names another file for its data"
        elif kind == _BACKING_FORMAT:
            yield "it names the format of a backing file"
        elif kind not in {_FEATURE_NAMES, _BITMAPS}:
            yield f"its header has an extension that is not known ({kind:#x})"
            return
        at += 8 + -(-length // 8) * 8
    if at > end or at + 8 <= end:
        yield "the extensions of its header do not end inside the first cluster"
