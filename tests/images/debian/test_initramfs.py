import gzip
import lzma
import subprocess
from pathlib import Path

import pytest

from pragmaspec.errors import ImageError
from pragmaspec.images.debian.initramfs import (
    cpio_archive,
    cpio_directory,
    cpio_file,
    cpio_link,
    load_order,
    module_bytes,
    module_name,
)
from tests.images.bad_disks import zstd


def test_cpio_reads_the_archive(tmp_path: Path) -> None:
    entries = [
        cpio_file("usr/bin/tool", b"#!/bin/sh\n", 0o755),
        cpio_link("bin", "usr/bin"),
        cpio_directory("root", 0o700),
        cpio_file("empty", b""),
    ]
    file = tmp_path / "initrd"
    file.write_bytes(cpio_archive(entries))
    with file.open("rb") as stream:
        listed = subprocess.run(
            ["cpio", "-itv", "--quiet", "--numeric-uid-gid"], stdin=stream, check=True, capture_output=True, text=True
        )
    lines = [line.split() for line in listed.stdout.splitlines()]
    assert [(line[0], " ".join(line[8:])) for line in lines] == [
        ("lrwxrwxrwx", "bin -> usr/bin"),
        ("-rw-r--r--", "empty"),
        ("drwx------", "root"),
        ("drwxr-xr-x", "usr"),
        ("drwxr-xr-x", "usr/bin"),
        ("-rwxr-xr-x", "usr/bin/tool"),
    ]
    assert {(line[2], line[3]) for line in lines} == {("0", "0")}


def test_equal_entries_yield_equal_bytes_in_any_order() -> None:
    entries = [cpio_file("b", b"2"), cpio_file("a", b"1"), cpio_link("c/d", "a")]
    assert cpio_archive(entries) == cpio_archive(reversed(entries))


def test_of_two_entries_with_one_path_the_last_is_used() -> None:
    assert cpio_archive([cpio_file("a", b"1"), cpio_file("a", b"2")]) == cpio_archive([cpio_file("a", b"2")])


def module(directory: Path, name: str, *needs: str) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    (directory / f"{name}.ko").write_bytes(b"\x7fELF\0license=GPL\0depends=" + ",".join(needs).encode() + b"\0name=x\0")


def test_modules_are_ordered_after_their_dependencies(tmp_path: Path) -> None:
    module(tmp_path / "drivers", "virtio_blk", "virtio", "virtio_ring")
    module(tmp_path / "drivers", "virtio", "virtio_ring")
    module(tmp_path / "core", "virtio_ring")
    module(tmp_path / "core", "virtio-rng", "virtio")
    module(tmp_path / "core", "unneeded")
    names = [path.stem for path in load_order(tmp_path, ["virtio_blk", "virtio_rng"])]
    assert names == ["virtio_ring", "virtio", "virtio_blk", "virtio-rng"]


def test_a_missing_module_is_reported_by_name(tmp_path: Path) -> None:
    module(tmp_path, "virtio_blk", "virtio")
    with pytest.raises(ImageError, match="no module virtio below"):
        load_order(tmp_path, ["virtio_blk"])


def test_compressed_modules_are_read_and_built_in_ones_skipped(tmp_path: Path) -> None:
    """As Ubuntu ships them."""
    for pack, end in ((gzip.compress, ".gz"), (lzma.compress, ".xz"), (zstd, ".zst")):
        folder = tmp_path / end[1:]
        module(folder, "virtio_rng", "rng_core", "virtio")
        module(folder, "rng-core")
        for file in list(folder.iterdir()):
            file.with_name(file.name + end).write_bytes(pack(file.read_bytes()))
            file.unlink()
        (folder / "modules.builtin").write_text("kernel/drivers/virtio/virtio.ko\nkernel/drivers/block/virtio_blk.ko\n")
        order = load_order(folder, ["virtio_blk", "virtio_rng"])
        assert [module_name(path) for path in order] == ["rng-core.ko", "virtio_rng.ko"]
        assert module_bytes(order[0]).startswith(b"\x7fELF")
