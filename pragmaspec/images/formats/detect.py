"""Detect all formats that a file could have, by its first MiB and its last 4 KiB.

More than one is a polyglot: a file that two programs would read as two things, which no honest tool writes.
"""

from collections.abc import Iterator, Sequence
from typing import Literal

from pragmaspec.frozen import Frozen
from pragmaspec.images.formats.random_access import HEAD_BYTES, TAIL_BYTES, RandomAccess, read_tail

FormatFamily = Literal["disk", "packed", "other"]


class FileFormat(Frozen, frozen=True):
    """A file format. ``description`` completes the sentence "It is …"."""

    name: str
    description: str
    family: FormatFamily


def _disk(name: str, description: str) -> FileFormat:
    return FileFormat(name=name, description=description, family="disk")


def _packed(name: str, description: str) -> FileFormat:
    return FileFormat(name=name, description=description, family="packed")


def _other(name: str, description: str) -> FileFormat:
    return FileFormat(name=name, description=description, family="other")


RAW = _disk("raw", "a disk with a boot sector (raw)")
QCOW2 = _disk("qcow2", "a qcow2 disk")
VHD = _disk("vhd", "a VHD disk")
_ZSTD = _packed("zstd", "compressed by zstd")
_DESCRIPTOR = _other("vmdk descriptor", "a VMDK descriptor, a text that names other files with the disk's data")
_OVF = _other("ovf", "an OVF descriptor, a text that names the disk in the same folder; write the path of that file")
_ISO = _other("iso", "a CD image (ISO 9660 or UDF)")

# Offset, bytes, format. Sources: QEMU's block drivers, the specifications of the formats, file(1).
_MAGICS = (
    (0, b"QFI\xfb", QCOW2),
    (0, b"KDMV", _disk("vmdk", "a VMDK disk")),
    (64, b"\x7f\x10\xda\xbe", _disk("vdi", "a VDI disk of VirtualBox")),
    (0, b"conectix", VHD),
    (0, b"vhdxfile", _disk("vhdx", "a VHDX disk of Hyper-V")),
    (0, b"\x1f\x8b", _packed("gzip", "compressed by gzip")),
    (0, b"\xfd7zXZ\0", _packed("xz", "compressed by xz")),
    (0, b"\x28\xb5\x2f\xfd", _ZSTD),
    (0, b"\x50\x2a\x4d\x18", _ZSTD),  # the skippable frame that pzstd begins with
    (0, b"BZh", _packed("bzip2", "compressed by bzip2")),
    (0, b"PK\x03\x04", _packed("zip", "a zip archive")),
    (257, b"ustar", _packed("tar", "a tar archive")),
    (0, b"QED\0", _other("qed", "a QED disk")),
    (0, b"COWD", _other("cowd", "a VMDK disk of ESX servers (COWD)")),
    (0, b"LUKS\xba\xbe", _other("luks", "encrypted with LUKS")),
    (0, b"WithoutFreeSpace", _other("parallels", "a Parallels disk")),
    (0, b"WithouFreSpacExt", _other("parallels", "a Parallels disk")),
    (0, b"Bochs Virtual HD Image", _other("bochs", "a Bochs disk")),
    (0, b"\x7fELF", _other("elf", "an ELF program")),
    (0, b"#!", _other("script", "a script")),
    (0, b"\x04\x22\x4d\x18", _other("lz4", "compressed by lz4")),
    (0, b"\x89LZO\0", _other("lzo", "compressed by lzop")),
    (0, b"LZIP", _other("lzip", "compressed by lzip")),
    (0, b"7z\xbc\xaf\x27\x1c", _other("7z", "a 7-Zip archive")),
    (0, b"Rar!\x1a\x07", _other("rar", "a RAR archive")),
)  # fmt: skip
_ISO_AT, _ISO_MAGICS = 32769, {b"CD001", b"NSR02", b"NSR03"}
_BOOT_AT, _BOOT = 510, b"\x55\xaa"
_TEXT = frozenset(b"\t\n\r\f\x1b") | frozenset(range(32, 127))
_SECTOR = 512


def head_and_tail(source: RandomAccess) -> tuple[bytes, bytes]:
    """Return the first MiB and the last 4 KiB."""
    return source.read_at(0, HEAD_BYTES), read_tail(source)


def detect_formats(head: bytes, tail: bytes) -> tuple[FileFormat, ...]:
    """Return every format of a file with this head and tail; none for a disk without a boot sector, which has no signature."""
    found = tuple(dict.fromkeys(_matches(head, tail)))
    if any(each.family == "packed" for each in found):
        return found  # packed data is as good as random, and may contain the signature of a boot sector
    if head[_BOOT_AT : _BOOT_AT + 2] == _BOOT:
        found = (*found, RAW)
    return found or tuple(_texts(head))


def ambiguity(found: Sequence[FileFormat]) -> str:
    """Return why a file with several formats is refused."""
    return f"it can be read as {' and as '.join(each.description for each in found)}, and a file must have one format"


def _matches(head: bytes, tail: bytes) -> Iterator[FileFormat]:
    for offset, magic, format_ in _MAGICS:
        if head[offset : offset + len(magic)] == magic:
            yield format_
    if tail[-_SECTOR:].startswith(b"conectix"):
        yield VHD
    if tail[-_SECTOR:].startswith(b"koly"):
        yield _other("dmg", "a disk of macOS (DMG)")
    if head[_ISO_AT : _ISO_AT + 5] in _ISO_MAGICS:
        yield _ISO
    if head.startswith(b"# Disk DescriptorFile"):
        yield _DESCRIPTOR


def _texts(head: bytes) -> Iterator[FileFormat]:
    """Yield the formats of text files that are mistaken for disks, most of all error pages."""
    start = head[:_SECTOR].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<?xml", b"<envelope", b"<ovf:envelope")) and b"/ovf/envelope/" in head[:TAIL_BYTES]:
        yield _OVF
    elif start.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        yield _other("web page", "a web page")
    elif head and _TEXT.issuperset(head[:TAIL_BYTES]):
        yield _DESCRIPTOR if b"createType=" in head[:TAIL_BYTES] else _other("text", "a text")
