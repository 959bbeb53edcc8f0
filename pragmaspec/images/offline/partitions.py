"""The partitions of a raw disk, and the kind of content of each."""

import json
import os
import struct
from pathlib import Path
from typing import Literal, NamedTuple

from pragmaspec.images.formats.sandbox import Limits, run_sandboxed

SECTOR_BYTES = 512
_PROBE_CPU_S = 20
_MAX_PARTITIONS = 128

PartitionContent = Literal["ext", "unclean ext", "plain", "shared"]
"""``ext``: ext2, ext3 or ext4; ``unclean ext``: one whose journal must be replayed first; ``shared``: content that the kernel
identifies across disks, so that two copies conflict (LVM, RAID, LUKS, btrfs); ``plain``: all other (XFS, FAT, swap, unknown)."""

_EXT_AT, _EXT_MAGIC = 1024, b"\x53\xef"
_NEEDS_RECOVERY = 0x4
"""``s_feature_incompat``, the kernel's ``Documentation/filesystems/ext4``."""
_SHARED = ((0x10040, b"_BHRfS_M"), (0, b"LABELONE"), (512, b"LABELONE"), (1024, b"LABELONE"), (1536, b"LABELONE"),
           (0, b"\xfc\x4e\x2b\xa9"), (4096, b"\xfc\x4e\x2b\xa9"), (0, b"LUKS\xba\xbe"))  # fmt: skip


class ProbedPartition(NamedTuple):
    """A partition, or the whole disk if it has none: its offset in bytes, and its content."""

    offset: int
    content: PartitionContent


def probe_partitions(disk: Path) -> tuple[ProbedPartition, ...]:
    """Return the partitions of the file ``disk``, at most 128. Raises ImageError if ``sfdisk`` is not installed."""
    result = run_sandboxed("sfdisk", ["--json", "--", str(disk.absolute())], Limits(cpu_s=_PROBE_CPU_S))
    offsets = [0] if result.status else _offsets(result.output)
    with disk.open("rb") as file:
        return tuple(ProbedPartition(offset, _content(read_start(file.fileno(), offset))) for offset in offsets[:_MAX_PARTITIONS])


def read_start(handle: int, offset: int) -> bytes:
    """Return the first 68 KiB from ``offset``, which contain all signatures."""
    return os.pread(handle, 0x11000, offset)


def _offsets(output: str) -> list[int]:
    """Return the offsets of the partitions in sfdisk's JSON output, after any warnings."""
    try:
        table = json.loads(output[output.index("{") :])["partitiontable"]
        size = int(table.get("sectorsize", SECTOR_BYTES))
        return [int(entry["start"]) * size for entry in table.get("partitions", ())]
    except (ValueError, KeyError, TypeError):
        return [0]


def _content(start: bytes) -> PartitionContent:
    if any(start[at : at + len(magic)] == magic for at, magic in _SHARED):
        return "shared"
    superblock = start[_EXT_AT : _EXT_AT + 1024]
    if superblock[0x38:0x3A] == _EXT_MAGIC:
        (incompatible,) = struct.unpack_from("<I", superblock, 0x60)
        return "unclean ext" if incompatible & _NEEDS_RECOVERY else "ext"
    return "plain"
