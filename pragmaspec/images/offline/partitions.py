"""What is on a disk of plain bytes: its partitions, and what each begins with."""

import json
import os
import struct
from pathlib import Path
from typing import Literal, NamedTuple

from pragmaspec.images.formats.sandbox import Limits, run_sandboxed

SECTOR_BYTES = 512
_LOOK_CPU_S = 20
_MOST_PARTITIONS = 128

PartitionContent = Literal["ext", "unclean ext", "plain", "shared"]
"""``ext``: ext2, ext3 or ext4; ``unclean ext``: one whose journal has to be replayed first; ``plain``: what may lie beside a
copy of itself (XFS, FAT, swap, nothing known); ``shared``: what names itself to the kernel and may not (LVM, RAID, btrfs)."""

_EXT_AT, _EXT_MAGIC = 1024, b"\x53\xef"
_NEEDS_RECOVERY = 0x4
"""``s_feature_incompat``, the kernel's ``Documentation/filesystems/ext4``."""
_SHARED = ((0x10040, b"_BHRfS_M"), (0, b"LABELONE"), (512, b"LABELONE"), (1024, b"LABELONE"), (1536, b"LABELONE"),
           (0, b"\xfc\x4e\x2b\xa9"), (4096, b"\xfc\x4e\x2b\xa9"), (0, b"LUKS\xba\xbe"))  # fmt: skip


class ProbedPartition(NamedTuple):
    """A partition, or the whole disk when it has none: where it begins, in bytes, and what it holds."""

    offset: int
    content: PartitionContent


def probe_partitions(disk: Path) -> tuple[ProbedPartition, ...]:
    """The partitions of the file ``disk``, at most 128. Raises ImageError when ``sfdisk`` is not installed."""
    ended = run_sandboxed("sfdisk", ["--json", "--", str(disk.absolute())], Limits(cpu_s=_LOOK_CPU_S))
    offsets = [0] if ended.status else _offsets(ended.output)
    with disk.open("rb") as file:
        return tuple(
            ProbedPartition(offset, _content(read_start(file.fileno(), offset))) for offset in offsets[:_MOST_PARTITIONS]
        )


def read_start(handle: int, offset: int) -> bytes:
    """The first 68 KiB from ``offset``: all that tells what is there."""
    return os.pread(handle, 0x11000, offset)


def _offsets(said: str) -> list[int]:
    try:
        table = json.loads(said[said.index("{") :])["partitiontable"]
        size = int(table.get("sectorsize", SECTOR_BYTES))
        return [int(entry["start"]) * size for entry in table.get("partitions", ())]
    except (ValueError, KeyError, TypeError):
        return [0]


def _content(begin: bytes) -> PartitionContent:
    if any(begin[at : at + len(magic)] == magic for at, magic in _SHARED):
        return "shared"
    superblock = begin[_EXT_AT : _EXT_AT + 1024]
    if superblock[0x38:0x3A] == _EXT_MAGIC:
        (incompatible,) = struct.unpack_from("<I", superblock, 0x60)
        return "unclean ext" if incompatible & _NEEDS_RECOVERY else "ext"
    return "plain"
