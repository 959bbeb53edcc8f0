"""Hostile ISO images: the search for the directory is bounded in time and memory."""

import random
import struct
import time
from pathlib import Path

import pytest

from pragmaspec.errors import ImageError
from pragmaspec.images.clonezilla.iso import SECTOR_BYTES, open_iso
from tests.images.clonezilla.conftest import readable

DIRECTORY = 0x02
ROOT_SECTOR = 18


def record(name: bytes, sector: int, length: int, flags: int = DIRECTORY) -> bytes:
    """A directory record (ECMA-119, section 9.1)."""
    size = 33 + len(name) + (len(name) + 1) % 2
    fields = struct.pack("<BBI4xI4x7xBBB4xB", size, 0, sector, length, flags, 0, 0, len(name))
    return (fields + name).ljust(size, b"\0")


def sectors(records: list[bytes]) -> bytes:
    """A directory: records do not cross sectors."""
    content, sector = b"", b""
    for each in records:
        if len(sector) + len(each) > SECTOR_BYTES:
            content, sector = content + sector.ljust(SECTOR_BYTES, b"\0"), b""
        sector += each
    return content + sector.ljust(SECTOR_BYTES, b"\0")


def image(tmp_path: Path, root: bytes, length: int | None = None) -> Path:
    """An image whose root directory has the content ``root``."""
    descriptor = b"\x01CD001".ljust(156, b"\0") + record(b"\0", ROOT_SECTOR, len(root) if length is None else length)
    file = tmp_path / "hostile.iso"
    file.write_bytes(bytes(16 * SECTOR_BYTES) + descriptor.ljust(2 * SECTOR_BYTES, b"\0") + root)
    return file


def rejected(file: Path, message: str) -> None:
    began = time.monotonic()
    with pytest.raises(ImageError, match=message), open_iso(readable(file.parent), file.name):
        pass
    assert time.monotonic() - began < 20


def test_directories_that_contain_each_other_are_visited_once(tmp_path: Path) -> None:
    root = sectors([record(b"A", ROOT_SECTOR, SECTOR_BYTES), record(b"B", ROOT_SECTOR, SECTOR_BYTES)])
    rejected(image(tmp_path, root), "contains no Clonezilla directories")


def test_overlapping_directories_do_not_multiply_the_work(tmp_path: Path) -> None:
    """Every entry is a directory of the same 2 MiB, seen from another offset."""
    size = 2**21
    names = [b"%06d" % number for number in range(20_000)]
    root = sectors([record(name, ROOT_SECTOR + number % 300, size) for number, name in enumerate(names)])
    rejected(image(tmp_path, root.ljust(2 * size, b"\0"), size), "unreasonably large")


def test_a_huge_directory_is_not_read(tmp_path: Path) -> None:
    rejected(image(tmp_path, b"", 2**32 - 1), "unreasonably large")


def test_deep_nesting_ends_the_search(tmp_path: Path) -> None:
    chain = b"".join(sectors([record(b"D", ROOT_SECTOR + depth + 1, SECTOR_BYTES)]) for depth in range(1000))
    rejected(image(tmp_path, chain + bytes(SECTOR_BYTES), SECTOR_BYTES), "contains no Clonezilla directories")


def test_damaged_images_are_read_or_rejected(tmp_path: Path) -> None:
    files = [record(b"DISK;1", 20, 4, 0), record(b"PARTS;1", 20, 4, 0), record(b"E", ROOT_SECTOR + 2, SECTOR_BYTES)]
    good = image(tmp_path, sectors(files) + bytes(4 * SECTOR_BYTES)).read_bytes()
    chance = random.Random(1)  # noqa: S311 - reproducible, not secret
    for _ in range(600):
        content = bytearray(good)
        for _ in range(chance.choice((1, 2, 8))):
            content[chance.randrange(16 * SECTOR_BYTES, len(content))] = chance.choice((0, 1, 2, 33, 127, 128, 255))
        file = tmp_path / "damaged.iso"
        file.write_bytes(content[: chance.choice((len(content), chance.randrange(len(content))))])
        try:
            with open_iso(readable(tmp_path), file.name) as directory:
                for name in directory.names():
                    directory.read_small(name)
        except ImageError:
            continue
