"""A directory as an ext4 file system in a file, without a mount, and equal byte for byte for equal contents."""

import os
import struct
import subprocess
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from pragmaspec.errors import ImageError

SUPERBLOCK_AT = 1024
SMALL_INODE_BYTES = 0x80
"""What follows in larger inodes holds nanoseconds and the time of creation."""
FEATURES = (
    "none,has_journal,ext_attr,resize_inode,dir_index,filetype,extent,flex_bg,sparse_super,large_file,huge_file,dir_nlink,"
    "extra_isize,uninit_bg"
)
"""All of them, so that this machine's mke2fs.conf decides nothing. Without metadata checksums the times can be set in place."""


def make_ext4(
    tree: Path, image: Path, *, size_bytes: int, seed: str, epoch: int, label: str = "", prefix: Sequence[str] = ()
) -> None:
    """Write the contents of ``tree`` to the new, sparse file ``image`` as an ext4 file system of ``size_bytes``.

    ``seed`` gives the file system's UUID and hash seed, ``epoch`` (seconds) every change time; modification times later than
    ``epoch`` become ``epoch``. ``prefix`` is a command that the tool is run under (a user namespace, for example).
    Raises ImageError with the tool's own words when it fails.
    """
    identity = str(uuid.uuid5(uuid.NAMESPACE_URL, f"pragmaspec:{seed}"))
    image.unlink(missing_ok=True)
    with image.open("wb") as file:
        file.truncate(size_bytes)
    done = subprocess.run(
        [*prefix, "mkfs.ext4", "-q", "-F", "-m", "1", "-L", label, "-U", identity, "-O", FEATURES,
         "-b", "4096", "-I", "256", "-i", "16384",
         "-E", f"hash_seed={identity},root_owner=0:0,lazy_itable_init=0,lazy_journal_init=0,nodiscard",
         "-d", str(tree), "--", str(image)],
        env={"PATH": os.environ.get("PATH", "") + ":/usr/sbin:/sbin", "MKE2FS_CONFIG": "/dev/null", "LC_ALL": "C"},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        raise ImageError("File system cannot be made", f"mkfs.ext4 said: {done.stderr.strip()[-800:]}")
    with image.open("r+b") as file:
        normalise_timestamps(file, epoch)


def normalise_timestamps(file: BinaryIO, epoch: int) -> None:
    """Give every time stamp in an ext4 image that the build left there a fixed value.

    ``mkfs.ext4 -d`` copies access and change times of the files it reads, and those say when the build ran. Handles what
    :func:`make_ext4` makes: no metadata checksums, 32-byte group descriptors. Source of the layout: the kernel's
    ``Documentation/filesystems/ext4``.
    """
    superblock = _at(file, SUPERBLOCK_AT, 1024)
    inodes, blocks = struct.unpack_from("<II", superblock, 0x00)
    blocks_per_group, inodes_per_group = struct.unpack_from("<I4xI", superblock, 0x20)
    block_size = 1024 << struct.unpack_from("<I", superblock, 0x18)[0]
    (inode_size,) = struct.unpack_from("<H", superblock, 0x58)
    _settle_superblock(file, SUPERBLOCK_AT, epoch)
    for group in _backup_groups(-(-blocks // blocks_per_group)):
        _settle_superblock(file, group * blocks_per_group * block_size, epoch)
    for table, count in _inode_tables(file, block_size, inodes, inodes_per_group):
        content = bytearray(_at(file, table * block_size, count * inode_size))
        for at in range(0, len(content), inode_size):
            _settle_inode(content, at, inode_size, epoch)
        _put(file, table * block_size, bytes(content))


def _settle_superblock(file: BinaryIO, at: int, epoch: int) -> None:
    settled = bytearray(_at(file, at, 1024))
    for offset, value in ((0x2C, 0), (0x30, epoch), (0x40, epoch), (0x108, epoch)):  # mounted, written, checked, made
        struct.pack_into("<I", settled, offset, value)
    _put(file, at, bytes(settled))


def _backup_groups(groups: int) -> Iterator[int]:
    """The groups that hold a copy of the superblock (feature sparse_super): 1 and the powers of 3, 5 and 7."""
    yield from (group for group in range(1, groups) if group == 1 or any(_is_power(group, base) for base in (3, 5, 7)))


def _is_power(number: int, base: int) -> bool:
    while number % base == 0:
        number //= base
    return number == 1


def _settle_inode(content: bytearray, at: int, inode_size: int, epoch: int) -> None:
    """Access, change and creation time become ``epoch``, the modification time at most ``epoch``; nanoseconds go."""
    if not any(content[at : at + SMALL_INODE_BYTES]):
        return
    (modified,) = struct.unpack_from("<I", content, at + 0x10)
    struct.pack_into("<III", content, at + 0x08, epoch, epoch, min(modified, epoch))
    if inode_size > SMALL_INODE_BYTES:
        struct.pack_into("<IIIII", content, at + 0x84, 0, 0, 0, epoch, 0)


def _inode_tables(file: BinaryIO, block_size: int, inodes: int, per_group: int) -> Iterator[tuple[int, int]]:
    """First block of each group's inode table, and how many of its inodes were ever written."""
    # The block after the one that holds the superblock.
    descriptors_at = (SUPERBLOCK_AT // block_size + 1) * block_size
    for group in range(-(-inodes // per_group)):
        descriptor = _at(file, descriptors_at + group * 32, 32)
        (unused,) = struct.unpack_from("<H", descriptor, 0x1C)
        yield struct.unpack_from("<I", descriptor, 0x08)[0], per_group - unused


def _at(file: BinaryIO, offset: int, length: int) -> bytes:
    file.seek(offset)
    return file.read(length)


def _put(file: BinaryIO, offset: int, content: bytes) -> None:
    file.seek(offset)
    file.write(content)
