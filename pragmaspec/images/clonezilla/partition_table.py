"""A partition table in the words of ``sfdisk --dump``: read from what any version wrote, written for the one of today.

Sources: sfdisk(8) of util-linux 2.38, and dumps of versions before 2.26 (``Id=`` instead of ``type=``, no ``label:``).
Numbers are sectors of 512 bytes.

The first sectors of a disk with a GUID partition table, as old Clonezilla directories keep them (``vda-gpt-1st``).

Their ``vda-pt.sf`` was written by an sfdisk that knew no GPT, so it shows only the protective MBR. Source of the layout: UEFI
specification 2.10, section 5.3.
"""

import re
import struct
import zlib
from collections.abc import Iterator
from typing import Literal
from uuid import UUID, uuid5

from msgspec.structs import replace

from pragmaspec.errors import ImageError, Problem
from pragmaspec.frozen import Frozen

SECTOR = 512
GPT_SECTORS = 34
"""Protective MBR, header and 128 entries; at the end of the disk there are as many without the MBR."""
EXTENDED_KINDS = frozenset({"5", "f", "85"})
_SPACE = UUID("6f0d2f0a-8a77-5d0e-9a3e-0b7c1d1c53b7")
_HEADER = re.compile(r"([a-z-]+): *(\S.*)")
_FIELD = re.compile(r"(?P<name>[A-Za-z]+) *= *(?P<value>\"[^\"]*\"|[^\s,]+)|(?P<flag>bootable|\*)")
_KINDS = {"dos": re.compile(r"[0-9a-f]{1,2}"), "gpt": re.compile(r"[0-9A-F]{8}(-[0-9A-F]{4}){3}-[0-9A-F]{12}")}
_LABEL_IDS = {"dos": re.compile(r"0x[0-9a-f]{1,8}"), "gpt": _KINDS["gpt"]}
_TEXT = re.compile(r'"[^"\n\r]*"|[A-Za-z0-9 .,:_-]*')


class Partition(Frozen, frozen=True):
    """A slice of the disk. ``kind``: the type as sfdisk writes it; ``uuid``, ``name`` (quoted) and ``attrs`` only in a GPT."""

    device: str
    number: int
    start: int
    size: int
    kind: str
    bootable: bool = False
    uuid: str = ""
    name: str = ""
    attrs: str = ""

    @property
    def end(self) -> int:
        """The first sector after it."""
        return self.start + self.size

    @property
    def extended(self) -> bool:
        """Whether it only holds other partitions."""
        return self.kind in EXTENDED_KINDS


class PartitionTable(Frozen, frozen=True):
    """A partition table. ``last_lba``: the last sector a GPT lets be used, 0 when it is not told; ``length``: its entries."""

    label: Literal["dos", "gpt"]
    label_id: str
    partitions: tuple[Partition, ...]
    first_lba: int = 0
    last_lba: int = 0
    length: int = 0


def parse_sfdisk_dump(text: str, disk: str) -> PartitionTable:
    """The table in a dump of ``disk`` (``vda``). Raises ImageError with every line that is not understood."""
    headers, lines, wrong = _split(text)
    label = headers.get("label", "dos")
    if label not in {"dos", "gpt"}:
        raise _unreadable(disk, [f"partition tables of the kind {label!r} are not known here, only dos and gpt"])
    if headers.get("unit", "sectors") != "sectors" or headers.get("sector-size", str(SECTOR)) != str(SECTOR):
        raise _unreadable(disk, ["the disk has sectors of another size than 512 bytes, which a virtual disk does not"])
    partitions = []
    for line in lines:
        try:
            partition = _partition(line, disk, label)
        except ValueError as error:
            wrong.append(f"{error} in the line {line.strip()[:100]!r}")
        else:
            partitions += [partition] if partition.size else []
    label_id = headers.get("label-id", "")
    if label_id and not _LABEL_IDS[label].fullmatch(label_id):
        wrong.append(f"{label_id!r} is not the identity of a disk")
    wrong += _overlaps(partitions)
    if wrong:
        raise _unreadable(disk, wrong)
    return PartitionTable(
        label="gpt" if label == "gpt" else "dos",
        label_id=label_id,
        partitions=tuple(partitions),
        first_lba=_number(headers.get("first-lba", "0")),
        last_lba=_number(headers.get("last-lba", "0")),
        length=_number(headers.get("table-length", "0")),
    )


def sfdisk_script(table: PartitionTable, size_bytes: int) -> str:
    """What ``sfdisk`` has to be told to write ``table`` to a disk of ``size_bytes``."""
    identity = "0x00000000" if table.label == "dos" else str(uuid5(_SPACE, f"{size_bytes} {table.partitions}")).upper()
    # Without an identity sfdisk takes a random one, and no two restored disks would be the same.
    lines = [f"label: {table.label}", f"label-id: {table.label_id or identity}"]
    lines.append("unit: sectors")
    if table.label == "gpt":
        lines += [f"first-lba: {table.first_lba}"] if table.first_lba else []
        # On a larger disk than the table was made for, the rest becomes usable.
        lines += [f"last-lba: {table.last_lba}"] if table.last_lba == size_bytes // SECTOR - GPT_SECTORS else []
        lines += [f"table-length: {table.length}"] if table.length else []
    lines.append("")
    return "\n".join((*lines, *(_line(one, table) for one in table.partitions), ""))


def _line(one: Partition, table: PartitionTable) -> str:
    if table.label == "gpt" and not one.uuid:
        one = replace(one, uuid=str(uuid5(_SPACE, f"{table.label_id} {one.number} {one.start}")).upper())
    fields = [f"start={one.start}", f"size={one.size}", f"type={one.kind}"]
    fields += [f"{key}={value}" for key, value in (("uuid", one.uuid), ("name", one.name), ("attrs", one.attrs)) if value]
    return f"disk{one.number} : {', '.join(fields)}{', bootable' if one.bootable else ''}"


def _split(text: str) -> tuple[dict[str, str], list[str], list[str]]:
    """The headers, the lines of partitions, and what is neither."""
    headers: dict[str, str] = {}
    lines: list[str] = []
    wrong: list[str] = []
    for line in text.splitlines():
        if match := _HEADER.fullmatch(line.strip()):
            headers[match[1]] = match[2].strip()
        elif line.startswith("/dev/"):
            lines.append(line)
        elif line.strip() and not line.lstrip().startswith(("#", "Warning")):
            wrong.append(f"{line.strip()[:100]!r} is neither a header nor a partition")
    return headers, lines, wrong


def _partition(line: str, disk: str, label: str) -> Partition:
    device, _, rest = line.partition(":")
    name = device.strip().removeprefix("/dev/").replace("/", "-")
    fields = {match["name"] or "bootable": match["value"] or "yes" for match in _FIELD.finditer(rest)}
    number = re.fullmatch(r"p?([0-9]{1,3})", name.removeprefix(disk))
    kind = fields.get("type", fields.get("Id", "")).lower()
    kind = kind.upper() if label == "gpt" else kind.removeprefix("0x").lstrip("0") or "0"
    if number is None:
        raise ValueError(f"{name} is not a partition of {disk}")
    found = Partition(
        device=name,
        number=int(number[1]),
        start=_number(fields.get("start", "")),
        size=_number(fields.get("size", "")),
        kind=kind,
        bootable="bootable" in fields,
        uuid=fields.get("uuid", "").upper(),
        name=fields.get("name", ""),
        attrs=fields.get("attrs", ""),
    )
    if not _KINDS[label].fullmatch(kind):
        raise ValueError("there is a type that is not known")
    if (found.uuid and not _KINDS["gpt"].fullmatch(found.uuid)) or not all(map(_TEXT.fullmatch, (found.name, found.attrs))):
        raise ValueError("there is an identity or a name that cannot be")
    return found


def _number(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,15}", text):
        raise ValueError(f"{text!r} is not a number of sectors")
    return int(text)


def _overlaps(partitions: list[Partition]) -> Iterator[str]:
    """Partitions that share sectors; those inside an extended one are looked at beside each other only."""
    seen: list[Partition] = []
    for one in sorted((one for one in partitions if not one.extended), key=lambda one: one.start):
        if seen and one.start < seen[-1].end:
            yield f"{seen[-1].device} and {one.device} overlap"
        seen.append(one)


def _unreadable(disk: str, reasons: list[str]) -> ImageError:
    return ImageError.of(
        Problem(summary="Partition table not understood", detail=f"In {disk}-pt.sf: {reason}.") for reason in reasons
    )


_ENTRY_BYTES = 128
_MOST_ENTRIES = 128
_NAMED_ATTRIBUTES = {0: "RequiredPartition", 1: "NoBlockIOProtocol", 2: "LegacyBIOSBootable"}


def parse_gpt(sectors: bytes, disk: str) -> PartitionTable:
    """The table in the first 34 ``sectors`` of ``disk``. Raises ImageError when a check sum is wrong or it is not a GPT."""
    header = sectors[SECTOR : 2 * SECTOR]
    if header[:8] != b"EFI PART" or len(sectors) < 3 * SECTOR:
        raise _damaged(disk, "it does not begin with a GUID partition table")
    length, checksum = struct.unpack_from("<II", header, 12)
    _, _, first, last = struct.unpack_from("<QQQQ", header, 24)
    identity = header[56:72]
    at, count, entry_bytes, entries_checksum = struct.unpack_from("<QIII", header, 72)
    if not 92 <= length <= SECTOR or zlib.crc32(header[:16] + bytes(4) + header[20:length]) != checksum:  # noqa: PLR2004 - UEFI
        raise _damaged(disk, "the check sum of its header is wrong")
    if (at, entry_bytes) != (2, _ENTRY_BYTES) or not 0 < count <= _MOST_ENTRIES:
        raise _damaged(disk, f"a table of {count} entries of {entry_bytes} bytes in sector {at} is unusual")
    entries = sectors[2 * SECTOR : 2 * SECTOR + count * _ENTRY_BYTES]
    if zlib.crc32(entries) != entries_checksum:
        raise _damaged(disk, "the check sum of its entries is wrong")
    found = [_gpt_partition(entries[number * _ENTRY_BYTES :][:_ENTRY_BYTES], number + 1, disk) for number in range(count)]
    return PartitionTable(
        label="gpt",
        label_id=_guid(identity),
        partitions=tuple(one for one in found if one is not None),
        first_lba=first,
        last_lba=last,
    )


def _gpt_partition(entry: bytes, number: int, disk: str) -> Partition | None:
    if not any(entry[:16]):
        return None
    first, last, attributes = struct.unpack_from("<QQQ", entry, 32)
    name = entry[56:128].decode("utf-16-le", errors="replace").partition("\0")[0]
    escaped = "".join(letter if letter.isprintable() and letter not in '"\\' else "_" for letter in name)
    flags = [_NAMED_ATTRIBUTES.get(bit, f"GUID:{bit}") for bit in range(64) if attributes >> bit & 1]
    between = "p" if disk[-1:].isdigit() else ""
    return Partition(
        device=f"{disk}{between}{number}",
        number=number,
        start=first,
        size=max(0, last - first + 1),
        kind=_guid(entry[:16]),
        uuid=_guid(entry[16:32]),
        name=f'"{escaped}"' if escaped else "",
        attrs=f'"{" ".join(flags)}"' if flags else "",
    )


def _guid(raw: bytes) -> str:
    return str(UUID(bytes_le=raw)).upper()


def _damaged(disk: str, why: str) -> ImageError:
    return ImageError("Partition table not understood", f"In {disk}-gpt-1st: {why}.")
