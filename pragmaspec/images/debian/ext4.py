"""Creates an ext4 file system from a directory, without a mount, and reproducibly: equal contents yield equal bytes."""

import os
import struct
import subprocess
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from pragmaspec.errors import ImageError

SUPERBLOCK_OFFSET = 1024
SMALL_INODE_BYTES = 0x80
"""Larger inodes continue with nanoseconds and the time of creation."""
FEATURES = (
    "none,has_journal,ext_attr,resize_inode,dir_index,filetype,extent,flex_bg,sparse_super,large_file,huge_file,dir_nlink,"
    "extra_isize,uninit_bg"
)
"""The complete list, independent of this machine's mke2fs.conf. Without metadata checksums, times can be modified in place."""


def make_ext4(
    tree: Path, image: Path, *, size_bytes: int, seed: str, epoch: int, label: str = "", prefix: Sequence[str] = ()
) -> None:
    """Write the contents of ``tree`` to the new, sparse file ``image`` as an ext4 file system of ``size_bytes``.

    UUID and hash seed are derived from ``seed``. All change times become ``epoch`` (seconds since 1970), and so do later
    modification times. ``prefix`` is a command that runs the tool, for example in a user namespace. Raises ImageError.
    """
    identity = str(uuid.uuid5(uuid.NAMESPACE_URL, f"pragmaspec:{seed}"))
    image.unlink(missing_ok=True)
    with image.open("wb") as file:
        file.truncate(size_bytes)
    result = subprocess.run(
        [*prefix, "mkfs.ext4", "-q", "-F", "-m", "1", "-L", label, "-U", identity, "-O", FEATURES,
         "-b", "4096", "-I", "256", "-i", "16384",
         "-E", f"hash_seed={identity},root_owner=0:0,lazy_itable_init=0,lazy_journal_init=0,nodiscard",
         "-d", str(tree), "--", str(image)],
        env={"PATH": os.environ.get("PATH", "") + ":/usr/sbin:/sbin", "MKE2FS_CONFIG": "/dev/null", "LC_ALL": "C"},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if result.returncode != 0:
        raise ImageError("File system cannot be made", f"mkfs.ext4 failed: {result.stderr.strip()[-800:]}")
    with image.open("r+b") as file:
        normalise_timestamps(file, epoch)


def normalise_timestamps(file: BinaryIO, epoch: int) -> None:
    """Set all timestamps in an ext4 image that depend on the time of the build.

    ``mkfs.ext4 -d`` copies access and change times of the source files. Supports file systems of :func:`make_ext4` only: without
    metadata checksums, with 32-byte group descriptors. Source of the layout: the kernel's ``Documentation/filesystems/ext4``.
    """
    superblock = _read_at(file, SUPERBLOCK_OFFSET, 1024)
    inodes, blocks = struct.unpack_from("<II", superblock, 0x00)
    blocks_per_group, inodes_per_group = struct.unpack_from("<I4xI", superblock, 0x20)
    block_size = 1024 << struct.unpack_from("<I", superblock, 0x18)[0]
    (inode_size,) = struct.unpack_from("<H", superblock, 0x58)
    _normalise_superblock(file, SUPERBLOCK_OFFSET, epoch)
    for group in _backup_groups(-(-blocks // blocks_per_group)):
        _normalise_superblock(file, group * blocks_per_group * block_size, epoch)
    for table, count in _inode_tables(file, block_size, inodes, inodes_per_group):
        content = bytearray(_read_at(file, table * block_size, count * inode_size))
        for at in range(0, len(content), inode_size):
            _normalise_inode(content, at, inode_size, epoch)
        _write_at(file, table * block_size, bytes(content))


def _normalise_superblock(file: BinaryIO, at: int, epoch: int) -> None:
    content = bytearray(_read_at(file, at, 1024))
    for offset, value in ((0x2C, 0), (0x30, epoch), (0x40, epoch), (0x108, epoch)):  # mounted, written, checked, created
        struct.pack_into("<I", content, offset, value)
    _write_at(file, at, bytes(content))


def _backup_groups(groups: int) -> Iterator[int]:
    """Yield the groups with a copy of the superblock (feature sparse_super): 1 and the powers of 3, 5 and 7."""
    yield from (group for group in range(1, groups) if group == 1 or any(_is_power(group, base) for base in (3, 5, 7)))


def _is_power(number: int, base: int) -> bool:
    while number % base == 0:
        number //= base
    return number == 1


def _normalise_inode(content: bytearray, at: int, inode_size: int, epoch: int) -> None:
    """Set access, change and creation time to ``epoch``, the modification time to at most ``epoch``, nanoseconds to 0."""
    if not any(content[at : at + SMALL_INODE_BYTES]):
        return
    (modified,) = struct.unpack_from("<I", content, at + 0x10)
    struct.pack_into("<III", content, at + 0x08, epoch, epoch, min(modified, epoch))
    if inode_size > SMALL_INODE_BYTES:
        struct.pack_into("<IIIII", content, at + 0x84, 0, 0, 0, epoch, 0)


def _inode_tables(file: BinaryIO, block_size: int, inodes: int, per_group: int) -> Iterator[tuple[int, int]]:
    """Yield the first block of each group's inode table, and the number of its inodes that were ever written."""
    # The block after that of the superblock.
    descriptors_at = (SUPERBLOCK_OFFSET // block_size + 1) * block_size
    for group in range(-(-inodes // per_group)):
        descriptor = _read_at(file, descriptors_at + group * 32, 32)
        (unused,) = struct.unpack_from("<H", descriptor, 0x1C)
        yield struct.unpack_from("<I", descriptor, 0x08)[0], per_group - unused


def _read_at(file: BinaryIO, offset: int, length: int) -> bytes:
    file.seek(offset)
    return file.read(length)


def _write_at(file: BinaryIO, offset: int, content: bytes) -> None:
    file.seek(offset)
    file.write(content)
