"""Damaged and hostile disk images, and the archives and compressed files that tests are made of."""

import gzip
import io
import lzma
import struct
import subprocess
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from pragmaspec.images.zstd import CompressionParameter, ZstdFile

MIB = 2**20


class Bad(NamedTuple):
    """An image that must be refused. ``declared``: the format in the spec."""

    name: str
    content: bytes
    declared: str | None = None


def changed(content: bytes, offset: int, layout: str, value: int | bytes) -> bytes:
    copy = bytearray(content)
    struct.pack_into(layout, copy, offset, value)
    return bytes(copy)


def bootable(size: int = 2 * MIB) -> bytes:
    """A raw disk with one partition."""
    disk = bytearray(size)
    disk[446:462] = bytes([0x80, 0, 2, 0, 0x83, 0xFF, 0xFF, 0xFF]) + struct.pack("<II", 2048, size // 512 - 2048)
    disk[510:512] = b"\x55\xaa"
    disk[MIB : MIB + 5] = b"hello"
    return bytes(disk)


def created(directory: Path, kind: str, options: str = "", *, size: str = "4M", more: tuple[str, ...] = ()) -> bytes:
    """An image by ``qemu-img create``."""
    file = directory / f"disk.{kind}"
    file.unlink(missing_ok=True)
    chosen = ("-o", options) if options else ()
    subprocess.run(["qemu-img", "create", "-q", "-f", kind, *chosen, *more, str(file), size], check=True)
    return file.read_bytes()


def converted(directory: Path, kind: str, options: str = "") -> bytes:
    """The bootable disk, converted by qemu-img."""
    (directory / "raw").write_bytes(bootable())
    chosen = ("-o", options) if options else ()
    command = ["qemu-img", "convert", "-f", "raw", "-O", kind, *chosen, str(directory / "raw"), str(directory / "out")]
    subprocess.run(command, check=True)
    return (directory / "out").read_bytes()


def as_vmware_writes_it(stream: bytes) -> bytes:
    """A streamOptimized VMDK that was written sequentially: its footer has the offset of the grain directory."""
    marker = struct.pack("<QII", 1, 0, 3).ljust(512, b"\0")
    return changed(stream, 56, "<Q", 2**64 - 1) + marker + stream[:512] + bytes(512)


def good_disks(directory: Path) -> Iterator[tuple[str, bytes]]:
    """Format and bytes of disks that are let in, as qemu-img makes them."""
    yield "raw", bootable()
    yield "qcow2", converted(directory, "qcow2")
    yield "vmdk", converted(directory, "vmdk")
    yield "vmdk", converted(directory, "vmdk", "subformat=streamOptimized")
    yield "vmdk", as_vmware_writes_it(converted(directory, "vmdk", "subformat=streamOptimized"))
    yield "vdi", converted(directory, "vdi")
    yield "vdi", converted(directory, "vdi", "static=on")
    yield "vhd", converted(directory, "vpc")
    yield "vhd", converted(directory, "vpc", "force_size=on")
    yield "vhd", converted(directory, "vpc", "subformat=fixed,force_size=on")
    yield "vhdx", converted(directory, "vhdx", "log_size=1M,block_size=1M")
    yield "vhdx", converted(directory, "vhdx", "subformat=fixed,log_size=1M,block_size=1M")


def bad_disks(directory: Path) -> Iterator[Bad]:
    """Every bad disk there is a word for."""
    for group in (_qcow2, _raw, _vmdk, _vdi, _vhd, _vhdx, _others, _packed, _archives):
        yield from group(directory)


def _qcow2(directory: Path) -> Iterator[Bad]:
    good = created(directory, "qcow2")
    (directory / "base.qcow2").write_bytes(good)
    yield Bad("qcow2: overlay", created(directory, "qcow2", more=("-b", str(directory / "base.qcow2"), "-F", "qcow2")))
    yield Bad("qcow2: external data", created(directory, "qcow2", f"data_file={directory / 'data'},data_file_raw=on"))
    yield Bad("qcow2: data file's name without its feature", changed(good, 112, ">I", 0x44415441))
    # Written by hand: qemu-img measures how fast it makes keys, and gives up on a machine that is busy.
    yield Bad("qcow2: encrypted", changed(good, 32, ">I", 2))
    yield Bad("qcow2: snapshot", changed(good, 60, ">I", 1))
    yield Bad("qcow2: corrupt", changed(good, 72, ">Q", 2))
    yield Bad("qcow2: unknown feature", changed(good, 72, ">Q", 1 << 7))
    yield Bad("qcow2: virtual size 2^62", changed(good, 24, ">Q", 2**62))
    yield Bad("qcow2: endless L1 table", changed(good, 36, ">I", 2**32 - 1))
    yield Bad("qcow2: clusters of 2^40", changed(good, 20, ">I", 40))
    yield Bad("qcow2: endless header", changed(good, 100, ">I", 2**32 - 1))
    yield Bad("qcow2: unknown extension", changed(good, 112, ">I", 0x12345678))
    yield Bad("qcow2: boot sector", changed(good, 510, ">H", 0x55AA))
    yield Bad("qcow2: 16 bytes", good[:16])
    yield Bad("qcow2: 100 bytes", good[:100])
    yield Bad("qcow2: declared raw", good, "raw")
    yield Bad("qcow2: declared vmdk", good, "vmdk")


def _raw(_: Path) -> Iterator[Bad]:
    good = bootable()
    yield Bad("raw: empty", b"")
    yield Bad("raw: zeros", bytes(2 * MIB))
    yield Bad("raw: no partition table", bytes(2 * MIB), "raw")
    yield Bad("raw: declared qcow2", good, "qcow2")
    yield Bad("raw: half a sector", good[:-256], "raw")
    yield Bad("raw: 512 bytes", good[:512], "raw")
    yield Bad("raw: boot flag", changed(good, 446, "B", 0x33))
    protective = changed(good, 446, "16s", bytes([0, 0, 2, 0, 0xEE, 0xFF, 0xFF, 0xFF]) + struct.pack("<II", 1, 4095))
    yield Bad("raw: hybrid table", changed(protective, 462, "16s", good[446:462]))
    yield Bad("raw: protective partition elsewhere", changed(protective, 454, "<I", 64))
    yield Bad("raw: VHD footer", good[:-512] + b"conectix" + bytes(504))
    yield Bad("raw: CD as well", changed(good, 32769, "5s", b"CD001"))


def _vmdk(directory: Path) -> Iterator[Bad]:
    good, stream = converted(directory, "vmdk"), as_vmware_writes_it(converted(directory, "vmdk", "subformat=streamOptimized"))
    flat = created(directory, "vmdk", "subformat=monolithicFlat")
    yield Bad("vmdk: descriptor of a flat disk", flat)
    host = (
        b'# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\ncreateType="monolithicFlat"\nRW 1 FLAT "/etc/hostname" 0\n'
    )
    yield Bad("vmdk: descriptor that names a file of the host", host)
    yield Bad("vmdk: descriptor without its first line", host.partition(b"\n")[2])
    description = good[512 : 512 * 21].rstrip(b"\0")

    def saying(old: bytes, new: bytes) -> bytes:
        said = description.replace(old, new)
        assert said != description, old
        return good[:512] + said.ljust(512 * 20, b"\0") + good[512 * 21 :]

    yield Bad("vmdk: extent by path", saying(b'SPARSE "out"', b'SPARSE "/etc/hostname"'))
    yield Bad("vmdk: flat extent", saying(b'SPARSE "out"', b'FLAT "out" 0'))
    yield Bad("vmdk: parent", saying(b"parentCID=ffffffff", b"parentCID=00000001"))
    yield Bad("vmdk: hint of a parent", saying(b"#DDB", b'parentFileNameHint="/etc/hostname"'))
    yield Bad("vmdk: two extents", saying(b"#DDB", b'RW 4096 SPARSE "sda"'))
    yield Bad("vmdk: duplicate key", saying(b"#DDB", b'createType="twoGbMaxExtentFlat"'))
    yield Bad("vmdk: another type", saying(b"monolithicSparse", b"twoGbMaxExtentSparse"))
    yield Bad("vmdk: no descriptor", good[:512] + bytes(512 * 20) + good[512 * 21 :])
    yield Bad("vmdk: unknown line", saying(b"#DDB", b"something else"))
    yield Bad("vmdk: other size in the descriptor", saying(b"RW 4096", b"RW 4095"))
    yield Bad("vmdk: newlines", changed(good, 73, "4s", b"\n \n\n"))
    yield Bad("vmdk: version", changed(good, 4, "<I", 9))
    yield Bad("vmdk: size 2^60 sectors", changed(good, 12, "<Q", 2**60))
    yield Bad("vmdk: grains of 3 sectors", changed(good, 20, "<Q", 3))
    yield Bad("vmdk: directory outside", changed(good, 56, "<Q", 2**40))
    yield Bad("vmdk: descriptor elsewhere", changed(good, 28, "<Q", 2))
    yield Bad("vmdk: not ASCII", changed(good, 520, "B", 0xE4))
    yield Bad("vmdk: unclean", changed(good, 72, "B", 1))
    yield Bad("vmdk: truncated stream", stream[:-512])
    yield Bad("vmdk: stream with a different footer", changed(stream, len(stream) - 1024 + 12, "<Q", 8192))
    yield Bad("vmdk: stream without a footer marker", changed(stream, len(stream) - 1536 + 12, "<I", 1))
    yield Bad("vmdk: 60 bytes", good[:60])


def _vdi(directory: Path) -> Iterator[Bad]:
    good = converted(directory, "vdi")
    yield Bad("vdi: difference", changed(good, 76, "<I", 4))
    yield Bad("vdi: parent", changed(good, 440, "16s", b"p" * 16))
    yield Bad("vdi: version", changed(good, 68, "<I", 0x20000))
    yield Bad("vdi: size 2^60", changed(good, 368, "<Q", 2**60))
    yield Bad("vdi: blocks", changed(good, 384, "<I", 7))
    yield Bad("vdi: blocks of 2 MiB", changed(good, 376, "<I", 2 * MIB))
    yield Bad("vdi: map in its data", changed(good, 340, "<I", 2**31))
    yield Bad("vdi: truncated", good[: -MIB // 2])
    yield Bad("vdi: 100 bytes", good[:100])


def _vhd(directory: Path) -> Iterator[Bad]:
    good, fixed = converted(directory, "vpc", "force_size=on"), converted(directory, "vpc", "subformat=fixed,force_size=on")

    def with_footer(offset: int, layout: str, value: int) -> bytes:
        footer = changed(changed(good[-512:], offset, layout, value), 64, ">I", 0)
        footer = changed(footer, 64, ">I", ~sum(footer) & 0xFFFFFFFF)
        return footer + good[512:-512] + footer

    yield Bad("vhd: fixed, not declared", fixed)
    yield Bad("vhd: fixed, a sector short", fixed[:512] + fixed[1024:], "vhd")
    yield Bad("vhd: difference", with_footer(60, ">I", 4))
    yield Bad("vhd: type 9", with_footer(60, ">I", 9))
    yield Bad("vhd: saved", with_footer(84, "B", 1))
    yield Bad("vhd: size 2^60", with_footer(48, ">Q", 2**60))
    yield Bad("vhd: checksum", changed(good, len(good) - 400, "B", 1))
    yield Bad("vhd: no footer", good[:-512])
    yield Bad("vhd: dynamic header outside", with_footer(16, ">Q", 2**50))
    yield Bad("vhd: dynamic header at 2^64", with_footer(16, ">Q", 2**64 - 1))
    yield Bad("vhd: names a parent", changed(good, 512 + 40, "16s", b"p" * 16))
    yield Bad("vhd: table outside", changed(good, 512 + 16, ">Q", 2**40))


def _vhdx(directory: Path) -> Iterator[Bad]:
    good = converted(directory, "vhdx", "log_size=1M,block_size=1M")
    metadata = struct.unpack_from("<Q", good, good.index(bytes.fromhex("06a27c8b90479a4bb8fe575f050f886e")) + 16)[0]
    parameters = metadata + 64 * 1024
    yield Bad("vhdx: parent", changed(good, parameters + 4, "<I", 2))
    yield Bad("vhdx: blocks of 3 MiB", changed(good, parameters, "<I", 3 * MIB))
    yield Bad("vhdx: size 2^60", changed(good, parameters + 8, "<Q", 2**60))
    yield Bad("vhdx: headers", changed(changed(good, 0x10008, "<Q", 9), 0x20008, "<Q", 9))
    yield Bad("vhdx: regions", changed(changed(good, 0x30010, "B", 0), 0x40010, "B", 0))
    yield Bad("vhdx: truncated", good[: 2 * MIB])


def _others(directory: Path) -> Iterator[Bad]:
    for kind in ("qed", "parallels"):
        yield Bad(kind, created(directory, kind))
    yield Bad("luks", b"LUKS\xba\xbe\0\1" + bytes(2 * MIB - 8))
    yield Bad("iso", changed(bytes(2 * MIB), 32769, "5s", b"CD001"))
    yield Bad("dmg", bytes(2 * MIB - 512) + b"koly" + bytes(508))
    yield Bad("lz4", b"\x04\x22\x4d\x18" + bytes(2 * MIB))
    yield Bad("7z", b"7z\xbc\xaf\x27\x1c" + bytes(2 * MIB))
    yield Bad("ELF", b"\x7fELF" + bytes(2 * MIB))
    yield Bad("script", b"#!/bin/sh\n" + bytes(2 * MIB))
    yield Bad("web page", b"<!DOCTYPE html><html>404 not found</html>")
    yield Bad("text", b"not found\n")
    yield Bad("unknown format", b"\1" + bytes(2 * MIB - 1), "vmware")


def _packed(directory: Path) -> Iterator[Bad]:
    qcow2 = created(directory, "qcow2")
    (directory / "base.qcow2").write_bytes(qcow2)
    overlay = created(directory, "qcow2", more=("-b", str(directory / "base.qcow2"), "-F", "qcow2"))
    packed = gzip.compress(bootable(), mtime=0)
    yield Bad("gzip: overlay in it", gzip.compress(overlay, mtime=0))
    yield Bad("gzip: web page in it", gzip.compress(b"<html>gone</html>", mtime=0))
    yield Bad("gzip: empty file in it", gzip.compress(b"", mtime=0))
    yield Bad("gzip: zeros in it", gzip.compress(bytes(2 * MIB), mtime=0))
    yield Bad("gzip: half a sector in it", gzip.compress(bootable()[:-256], mtime=0))
    yield Bad("gzip: qcow2 declared raw", gzip.compress(qcow2, mtime=0), "raw")
    yield Bad("gzip: truncated", packed[:-9])
    yield Bad("gzip: flipped bit", changed(packed, len(packed) - 8, "<I", 1))
    yield Bad("gzip: trailing garbage", packed + b"something")
    yield Bad("gzip: and VHD", packed + b"conectix" + bytes(504))
    yield Bad("xz: truncated", lzma.compress(bootable())[:-9])
    yield Bad("xz: memory", lzma.compress(bootable(), filters=[{"id": lzma.FILTER_LZMA2, "preset": 6, "dict_size": 512 * MIB}]))
    yield Bad("bzip2: nonsense", b"BZh9" + bytes(2 * MIB))
    yield Bad("zstd: nonsense", b"\x28\xb5\x2f\xfd" + bytes(2 * MIB))
    yield Bad("zstd: truncated", b"\x28\xb5\x2f\xfd")
    layers = bootable()
    for _ in range(4):
        layers = gzip.compress(layers, mtime=0)
    yield Bad("gzip: four times", layers)


def _archives(directory: Path) -> Iterator[Bad]:
    disk = bootable()
    for name, members in {
        "empty": [],
        "two disks": [("a.raw", tarfile.REGTYPE, disk, ""), ("b.raw", tarfile.REGTYPE, disk, "")],
        "the same name twice": [("a.raw", tarfile.REGTYPE, disk, ""), ("a.raw", tarfile.REGTYPE, disk, "")],
        "symbolic link": [("a.raw", tarfile.SYMTYPE, b"", "/etc/passwd"), ("a.raw", tarfile.REGTYPE, disk, "")],
        "hard link": [("a.raw", tarfile.LNKTYPE, b"", "/etc/passwd")],
        "device": [("a.raw", tarfile.CHRTYPE, b"", "")],
        "FIFO": [("a.raw", tarfile.FIFOTYPE, b"", "")],
        "many members": [(f"{number}/", tarfile.DIRTYPE, b"", "") for number in range(100)],
        "overlay": [("a.qcow2", tarfile.REGTYPE, _overlay(directory), "")],
        "text": [("a.raw", tarfile.REGTYPE, b"not found\n", "")],
        "OVA with two disks": [
            ("a.ovf", tarfile.REGTYPE, b"<x/>", ""), ("a.vmdk", tarfile.REGTYPE, disk, ""), ("b.vmdk", tarfile.REGTYPE, disk, ""),
        ],
    }.items():  # fmt: skip
        yield Bad(f"tar: {name}", tar(members))
    good = tar([("a.raw", tarfile.REGTYPE, disk, "")])
    yield Bad("tar: truncated", good[: MIB // 2])
    yield Bad("tar: checksum", changed(good, 148, "8s", b"0000000\0"))
    yield Bad("tar: trailing garbage", good + b"something")
    yield from _tar_headers(disk)
    yield Bad("zip: two disks", archive({"a.raw": disk, "b.raw": disk}))
    yield Bad("zip: empty", archive({}))
    zipped = archive({"a.raw": disk})
    yield Bad("zip: truncated", zipped[:-30])
    yield Bad("zip: shifted directory", b"PK\x03\x04" + zipped)
    yield Bad("zip: trailing garbage", zipped + b"something")
    yield Bad("zip: encrypted", changed(zipped, zipped.index(b"PK\x01\x02") + 8, "<H", 1))
    yield Bad("zip: wrong size", changed(zipped, zipped.index(b"PK\x01\x02") + 24, "<I", 4 * MIB))
    yield Bad("zip: checksum", changed(zipped, zipped.index(b"PK\x01\x02") + 16, "<I", 1))
    yield Bad("zip: link", changed(zipped, zipped.index(b"PK\x01\x02") + 38, "<I", 0o120777 << 16))
    entry, end = zipped.index(b"PK\x01\x02"), zipped.index(b"PK\x05\x06")
    yield Bad("zip: unknown method", changed(zipped, entry + 10, "<H", 99))
    yield Bad("zip: member overlaps its directory", changed(zipped, entry + 20, "<I", 2 * MIB))
    yield Bad("zip: directory without a member", changed(zipped, entry + 42, "<I", 7))
    yield Bad("zip: large directory", changed(zipped, end + 12, "<I", 2 * MIB))
    yield Bad("zip: many members", changed(zipped, end + 10, "<H", 1000))
    yield Bad("zip: no 64-bit directory", changed(zipped, end + 16, "<I", 2**32 - 1))
    record = struct.pack("<4sQHHIIQQQQ", b"PK\6\6", 44, 45, 45, 0, 0, 1, 1, 50, 2**64 - 1)
    locator = struct.pack("<4sIQI", b"PK\6\7", 0, end, 1)
    moved = zipped[:end] + record + locator + changed(zipped[end:], 16, "<I", 2**32 - 1)
    yield Bad("zip: 64-bit directory at 2^64", moved)
    far = changed(moved, end + len(record) + 8, "<Q", 2**64 - 1)
    yield Bad("zip: 64-bit directory record at 2^64", far)
    yield Bad("zip: larger than declared", changed(zipped, entry + 24, "<I", MIB))
    yield Bad("zip: damaged", changed(zipped, 100, "16s", b"\xff" * 16))
    stored = archive({"a.raw": disk}, zipfile.ZIP_STORED)
    yield Bad("zip: two lengths", changed(stored, stored.index(b"PK\x01\x02") + 24, "<I", MIB))
    yield Bad("zip: inside gzip", gzip.compress(zipped, mtime=0))


def _tar_headers(disk: bytes) -> Iterator[Bad]:
    """Endless headers, and invalid numbers."""
    member = tarfile.TarInfo("a.raw")
    member.size = len(disk)
    header = member.tobuf(tarfile.GNU_FORMAT)

    def typed(type_: bytes, size: int) -> bytes:
        extended = tarfile.TarInfo("././@LongLink")
        extended.type, extended.size = type_, size
        return extended.tobuf(tarfile.GNU_FORMAT)

    def sparse(*entries: tuple[bytes, bytes], more: bool = False) -> bytes:
        block = bytearray(header)
        block[156:157] = b"S"
        for number, (offset, length) in enumerate(entries):
            block[386 + 24 * number : 398 + 24 * number] = offset.ljust(12, b"\0")
            block[398 + 24 * number : 410 + 24 * number] = length.ljust(12, b"\0")
        block[482] = more
        block[483:495] = b"%011o\0" % len(disk)
        block[148:156] = b" " * 8
        block[148:156] = b"%06o\0 " % sum(block)
        return bytes(block)

    yield Bad("tar: endless name", typed(b"L", 2**40) + header + disk)
    yield Bad("tar: endless names", (typed(b"L", 1) + b"a".ljust(512, b"\0")) * 100)
    yield Bad("tar: truncated header", header[:500])
    pax = b"22 GNU.sparse.major=1\n"
    yield Bad("tar: sparse file in pax format", typed(b"x", len(pax)) + pax.ljust(512, b"\0") + header + disk)
    negative = b"18 size=00000000\n"
    yield Bad("tar: other size in a pax header", typed(b"x", len(negative)) + negative.ljust(512, b"\0") + header + disk)
    digits = b"5013 size=" + b"9" * 5002 + b"\n"
    yield Bad("tar: size of 5000 digits", typed(b"x", len(digits)) + digits.ljust(5120, b"\0") + header + disk)
    number = b"%o"
    yield Bad("tar: overlapping sparse parts", sparse((number % 512, number % 512), (number % 512, number % 512)) + disk)
    yield Bad("tar: wrong size of sparse parts", sparse((number % 0, number % 512)) + disk)
    yield Bad("tar: endless sparse parts", sparse(more=True))
    yield Bad("tar: invalid numbers in sparse parts", sparse((b"zzz", b"zzz")) + disk)


def _overlay(directory: Path) -> bytes:
    (directory / "base.qcow2").write_bytes(created(directory, "qcow2"))
    return created(directory, "qcow2", more=("-b", str(directory / "base.qcow2"), "-F", "qcow2"))


def tar(members: list[tuple[str, bytes, bytes, str]]) -> bytes:
    """A tar archive of members: name, type, content, link target."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as file:
        for name, type_, content, target in members:
            member = tarfile.TarInfo(name)
            member.type, member.size, member.linkname = type_, len(content), target
            file.addfile(member, io.BytesIO(content))
    return packed.getvalue()


def archive(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip archive."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", method) as file:
        for name, content in members.items():
            file.writestr(zipfile.ZipInfo(name), content, method)
    return packed.getvalue()


def zstd(content: bytes, **options: int) -> bytes:
    """Content in one zstd frame with a checksum. ``options``: names of compression parameters."""
    target = io.BytesIO()
    parameters = {CompressionParameter[name]: value for name, value in {"checksum_flag": 1, **options}.items()}
    with ZstdFile(target, "wb", options=parameters) as file:
        file.write(content)
    return target.getvalue()
