import json
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pragmaspec.errors import ImageError
from pragmaspec.images.formats.inspect import BootDisk, inspect_file
from pragmaspec.images.formats.inspect import inspect as inspect_window
from pragmaspec.images.formats.random_access import RandomAccessBytes

MIB = 2**20


def inspect(content: bytes, declared: str | None = None, **options: bool) -> BootDisk:
    return inspect_window(RandomAccessBytes(content), declared, **options)


def refusal(content: bytes, declared: str | None = None) -> str:
    with pytest.raises(ImageError) as refused:
        inspect(content, declared)
    return str(refused.value)


def changed(content: bytes, offset: int, layout: str, value: int) -> bytes:
    copy = bytearray(content)
    struct.pack_into(layout, copy, offset, value)
    return bytes(copy)


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("-o", "compat=0.10"),
        ("-o", "compat=1.1"),
        ("-o", "cluster_size=512"),
        ("-o", "cluster_size=2M"),
        ("-o", "extended_l2=on,cluster_size=128k"),
        ("-o", "compression_type=zstd"),
        ("-o", "lazy_refcounts=on"),
        ("-o", "refcount_bits=1"),
        ("-o", "refcount_bits=64"),
        ("-o", "preallocation=metadata"),
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("size", ["1M", "64M", "100G"])
def test_images_by_qemu_img_are_accepted(make_disk: Callable[..., Path], options: tuple[str, ...], size: str) -> None:
    if size == "100G" and ("cluster_size=512" in options or "preallocation=metadata" in options):
        size = "4G"
    file = make_disk("disk.qcow2", *options, size=size)
    told = json.loads(subprocess.run(["qemu-img", "info", "--output=json", str(file)], check=True, capture_output=True).stdout)
    assert inspect_file(file, "qcow2") == BootDisk(format="qcow2", virtual_size_bytes=told["virtual-size"])
    assert inspect_file(file, None).format == "qcow2"


def test_a_qcow2_with_bitmaps_is_accepted(make_disk: Callable[..., Path]) -> None:
    file = make_disk("bitmaps.qcow2")
    subprocess.run(["qemu-img", "bitmap", "--add", "-f", "qcow2", str(file), "changes"], check=True)
    assert inspect_file(file, "qcow2").virtual_size_bytes == 64 * MIB


def test_a_raw_disk_with_a_partition_table_is_accepted() -> None:
    disk = bytearray(2 * MIB)
    disk[510:512] = b"\x55\xaa"
    assert inspect(bytes(disk)) == BootDisk(format="raw", virtual_size_bytes=2 * MIB)
    assert inspect(bytes(disk), "raw").format == "raw"


def test_a_raw_disk_without_partitions_needs_a_kernel() -> None:
    disk = b"\1" + bytes(2 * MIB - 1)
    assert inspect(disk, "raw", partitionless=True).virtual_size_bytes == 2 * MIB
    assert "no partition table" in refusal(disk, "raw")
    with pytest.raises(ImageError, match="format: raw"):
        inspect(disk, None, partitionless=True)


def test_an_overlay_is_refused(make_disk: Callable[..., Path]) -> None:
    base = make_disk("base.qcow2")
    overlay = make_disk("overlay.qcow2", "-b", str(base), "-F", "qcow2")
    with pytest.raises(ImageError, match="backing file"):
        inspect_file(overlay, "qcow2")


def test_an_external_data_file_is_refused(make_disk: Callable[..., Path], tmp_path: Path) -> None:
    disk = make_disk("outside.qcow2", "-o", f"data_file={tmp_path / 'data'},data_file_raw=on")
    with pytest.raises(ImageError, match="another file") as refused:
        inspect_file(disk, "qcow2")
    assert len(refused.value.problems) == 2, "the feature bit and the extension are two reasons"


def test_internal_snapshots_are_refused(make_disk: Callable[..., Path]) -> None:
    disk = make_disk("snapshots.qcow2")
    subprocess.run(["qemu-img", "snapshot", "-c", "one", str(disk)], check=True)
    with pytest.raises(ImageError, match="snapshots"):
        inspect_file(disk, "qcow2")


@pytest.mark.parametrize("kind", ["vmdk", "vdi", "vpc", "vhdx", "qed", "parallels"])
def test_other_disk_formats_are_refused(make_disk: Callable[..., Path], kind: str) -> None:
    file = make_disk(f"disk.{kind}", kind=kind)
    for declared in (None, "raw"):
        with pytest.raises(ImageError, match="not a disk image"):
            inspect_file(file, declared)


HEADER_FAULTS = {
    "version 4": (4, ">I", 4, "unknown"),
    "version 1": (4, ">I", 1, "unknown"),
    "backing file without a name": (8, ">Q", 4096, "backing file"),
    "name without a backing file": (16, ">I", 10, "backing file"),
    "clusters of 2^40": (20, ">I", 40, "outside the format"),
    "clusters of 2^8": (20, ">I", 8, "outside the format"),
    "no size": (24, ">Q", 0, "virtual size"),
    "size of 2^62": (24, ">Q", 2**62, "virtual size"),
    "half a sector": (24, ">Q", 64 * MIB + 256, "virtual size"),
    "legacy encryption": (32, ">I", 1, "encrypted"),
    "endless L1 table": (36, ">I", 2**32 - 1, "L1 table"),
    "L1 table too short": (36, ">I", 0, "L1 table"),
    "L1 table outside": (40, ">Q", 2**40, "L1 table"),
    "L1 table in the header": (40, ">Q", 0, "L1 table"),
    "L1 table not aligned": (40, ">Q", 196608 + 8, "L1 table"),
    "reference counts outside": (48, ">Q", 2**40, "reference count table"),
    "no reference counts": (56, ">I", 0, "reference count table"),
    "a snapshot": (60, ">I", 1, "snapshots"),
    "corrupt": (72, ">Q", 1 << 1, "corrupt"),
    "external data": (72, ">Q", 1 << 2, "another file"),
    "unknown feature": (72, ">Q", 1 << 5, "unknown"),
    "raw external data": (88, ">Q", 1 << 1, "another file"),
    "reference counts of 2^7 bits": (96, ">I", 7, "outside the format"),
    "endless header": (100, ">I", 2**32 - 1, "outside the format"),
    "crooked header": (100, ">I", 107, "outside the format"),
    "data file's name without its feature": (112, ">I", 0x44415441, "another file"),
    "format of a backing file": (112, ">I", 0xE2792ACA, "backing file"),
    "unknown extension": (112, ">I", 0x12345678, "extension"),
    "extension without end": (116, ">I", 2**31, "first cluster"),
}


@pytest.mark.parametrize("name", HEADER_FAULTS)
def test_each_fault_of_a_header_is_reported(qcow2: bytes, name: str) -> None:
    offset, layout, value, words = HEADER_FAULTS[name]
    assert words in refusal(changed(qcow2, offset, layout, value), "qcow2")


def test_an_unknown_compression_method_is_refused(qcow2: bytes) -> None:
    compressed = changed(qcow2, 72, ">Q", 1 << 3)
    assert inspect(compressed, "qcow2").format == "qcow2"
    assert "compression" in refusal(changed(compressed, 104, ">B", 7), "qcow2")


def test_a_qcow2_header_that_is_also_a_boot_sector_is_refused(qcow2: bytes) -> None:
    assert "boot sector" in refusal(changed(qcow2, 510, ">H", 0x55AA), "qcow2")


def test_all_reasons_are_reported_at_once(qcow2: bytes) -> None:
    with pytest.raises(ImageError) as refused:
        inspect(changed(changed(qcow2, 32, ">I", 1), 60, ">I", 1), "raw")
    assert [problem.detail.split()[2] for problem in refused.value.problems] == ["declared", "encrypted.", "internal"]


@pytest.mark.parametrize("length", [0, 3, 4, 31, 71, 72, 100, 103, 511])
def test_a_truncated_file_is_refused(qcow2: bytes, length: int) -> None:
    refusal(qcow2[:length], "qcow2")
    refusal(qcow2[:length])


def test_the_declared_format_must_be_the_detected_one(qcow2: bytes) -> None:
    assert "declared as raw" in refusal(qcow2, "raw")
    assert "declared as qcow2" in refusal(bytes(2 * MIB), "qcow2")


@pytest.mark.parametrize(
    ("start", "words"),
    [
        (b"<!DOCTYPE html><html>", "web page"),
        (b"\xef\xbb\xbf\n <html lang='en'>", "web page"),
        (b"\x1f\x8b\x08", "gzip"),
        (b"\xfd7zXZ\0", "xz"),
        (b"\x28\xb5\x2f\xfd", "zstd"),
        (b"BZh9", "bzip2"),
        (b"PK\x03\x04", "zip"),
        (b"#!/bin/sh\n", "script"),
        (b"\x7fELF", "ELF"),
        (b"plain words\n" * 1000, "text"),
        (b"# Disk DescriptorFile\n", "VMDK"),
    ],
)
def test_files_that_are_not_disks_are_identified(start: bytes, words: str) -> None:
    assert words in refusal(start + bytes(2 * MIB) if words != "text" else start, None)


def test_a_cd_image_or_vhd_is_not_taken_for_a_raw_disk() -> None:
    disc = bytearray(2 * MIB)
    disc[32769:32774] = b"CD001"
    assert "CD image" in refusal(bytes(disc), "raw")
    disk = bytearray(2 * MIB)
    disk[510:512] = b"\x55\xaa"
    disk[-512:-504] = b"conectix"
    assert "VHD" in refusal(bytes(disk), "raw")


@pytest.mark.parametrize("size", [512, MIB - 512, MIB + 100])
def test_a_raw_disk_needs_whole_sectors_and_a_minimum_size(size: int) -> None:
    disk = bytearray(size)
    disk[510:512] = b"\x55\xaa"
    assert "sectors" in refusal(bytes(disk), "raw")


class Endless:
    """A window on three TiB of ones."""

    size = 3 * 2**40

    def read_at(self, offset: int, length: int) -> bytes:
        return b"\1" * length


def test_disks_beyond_two_tebibytes_are_refused() -> None:
    with pytest.raises(ImageError, match="larger than 2 TiB"):
        inspect_window(Endless(), "raw", partitionless=True)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    changes=st.lists(st.tuples(st.integers(0, 600), st.binary(min_size=1, max_size=8)), min_size=1, max_size=6),
    length=st.none() | st.integers(0, 2000),
    declared=st.sampled_from(["qcow2", "raw", None]),
)
def test_a_mutated_header_is_refused_or_harmless(
    qcow2: bytes, changes: list[tuple[int, bytes]], length: int | None, declared: str | None
) -> None:
    """Whatever bytes come: an answer or an ImageError, and nothing that is accepted names another file."""
    content = bytearray(qcow2)
    for offset, value in changes:
        content[offset : offset + len(value)] = value
    mutated = bytes(content[:length])
    try:
        found = inspect(mutated, declared)
    except ImageError:
        return
    if found.format == "qcow2":
        assert struct.unpack_from(">QI", mutated, 8) == (0, 0)
        assert not struct.unpack_from(">Q", mutated, 72)[0] & 1 << 2 or struct.unpack_from(">I", mutated, 4)[0] == 2
        assert found.virtual_size_bytes == struct.unpack_from(">Q", mutated, 24)[0]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(offset=st.integers(4, 111), value=st.integers(0, 255))
def test_qemu_img_sees_no_other_file_in_accepted_images(
    qcow2: bytes, tmp_path_factory: pytest.TempPathFactory, offset: int, value: int
) -> None:
    mutated = changed(qcow2, offset, ">B", value)
    try:
        found = inspect(mutated, "qcow2")
    except ImageError:
        return
    file = tmp_path_factory.mktemp("accepted") / "disk.qcow2"
    file.write_bytes(mutated)
    told = subprocess.run(["qemu-img", "info", "-f", "qcow2", "--output=json", str(file)], check=False, capture_output=True)
    if told.returncode == 0:
        info = json.loads(told.stdout)
        assert info["virtual-size"] == found.virtual_size_bytes
        assert "backing-filename" not in info
        assert "data-file" not in info["format-specific"]["data"]
