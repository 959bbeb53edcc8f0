import subprocess
from pathlib import Path

from pragmaspec.images.debian import initramfs as cpio


def test_the_archive_is_one_that_cpio_reads(tmp_path: Path) -> None:
    members = [
        cpio.cpio_file("usr/bin/tool", b"#!/bin/sh\n", 0o755),
        cpio.cpio_link("bin", "usr/bin"),
        cpio.cpio_directory("root", 0o700),
        cpio.cpio_file("empty", b""),
    ]
    file = tmp_path / "initrd"
    file.write_bytes(cpio.cpio_archive(members))
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


def test_equal_contents_are_equal_bytes_in_any_order() -> None:
    members = [cpio.cpio_file("b", b"2"), cpio.cpio_file("a", b"1"), cpio.cpio_link("c/d", "a")]
    assert cpio.cpio_archive(members) == cpio.cpio_archive(reversed(members))


def test_the_later_of_two_with_one_path_counts() -> None:
    assert cpio.cpio_archive([cpio.cpio_file("a", b"1"), cpio.cpio_file("a", b"2")]) == cpio.cpio_archive(
        [cpio.cpio_file("a", b"2")]
    )
