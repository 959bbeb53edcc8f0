"""Partition tables: parses sfdisk dumps of any version and GPTs, and writes scripts for today's sfdisk.

Sources: sfdisk(8) of util-linux 2.38, and dumps of versions before 2.26 (``Id=`` instead of ``type=``, no ``label:``); UEFI
specification 2.10, section 5.3, for the GPT. Numbers are sectors of 512 bytes.

Old Clonezilla directories contain the first sectors of a disk with a GPT (``vda-gpt-1st``), since their sfdisk could not read it,
and their ``vda-pt.sf`` shows only the protective MBR.
"""

import re
import struct
import zlib
from collections.abc import Iterator
from itertools import pairwise
from typing import Literal
from uuid import UUID, uuid5

from msgspec.structs import replace

from pragmaspec.errors import ImageError, Problem
from pragmaspec.frozen import Frozen

SECTOR_BYTES = 512
GPT_SECTORS = 34
"""Protective MBR, header and 128 entries; the copy at the end of the disk lacks the MBR."""
EXTENDED_KINDS = frozenset({"5", "f", "85"})
_NAMESPACE = UUID("6f0d2f0a-8a77-5d0e-9a3e-0b7c1d1c53b7")
_HEADER = re.compile(r"([a-z-]+): *(\S.*)")
_FIELD = re.compile(r"(?P<name>[A-Za-z]+) *= *(?P<value>\"[^\"]*\"|[^\s,]+)|(?P<flag>bootable|\*)")
_KINDS = {"dos": re.compile(r"[0-9a-f]{1,2}"), "gpt": re.compile(r"[0-9A-F]{8}(-[0-9A-F]{4}){3}-[0-9A-F]{12}")}
_LABEL_IDS = {"dos": re.compile(r"0x[0-9a-f]{1,8}"), "gpt": _KINDS["gpt"]}
_NUMBER = re.compile(r"[0-9]{1,15}")
_TEXT = re.compile(r'"[^"\n\r]*"|[A-Za-z0-9 .,:_-]*')


class PartitionEntry(Frozen, frozen=True):
    """A partition. ``kind`` is its type as sfdisk writes it; ``uuid``, ``name`` (quoted) and ``attrs`` exist only in a GPT."""

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
        """The first sector after the partition."""
        return self.start + self.size

    @property
    def is_extended(self) -> bool:
        """True for a container of logical partitions."""
        return self.kind in EXTENDED_KINDS


class PartitionTable(Frozen, frozen=True):
    """A partition table. ``first_lba``, ``last_lba``: usable sectors of a GPT, 0 if unknown; ``length``: its entries."""

    label: Literal["dos", "gpt"]
    label_id: str
    partitions: tuple[PartitionEntry, ...]
    first_lba: int = 0
    last_lba: int = 0
    length: int = 0


def parse_sfdisk_dump(text: str, disk: str) -> PartitionTable:
    """Parse the sfdisk dump of ``disk`` (``vda``). Raises ImageError with all problems."""
    headers, lines, problems = _split(text)
    label = headers.get("label", "dos")
    if label not in {"dos", "gpt"}:
        raise _rejected(disk, [f"the partition table type {label!r} is not supported, only dos and gpt"])
    if headers.get("unit", "sectors") != "sectors" or headers.get("sector-size", str(SECTOR_BYTES)) != str(SECTOR_BYTES):
        raise _rejected(disk, ["the disk has sectors of another size than the 512 bytes of virtual disks"])
    partitions = []
    for line in lines:
        try:
            partition = _parse_partition(line, disk, label)
        except ValueError as error:
            problems.append(f"{error} in the line {line.strip()[:100]!r}")
        else:
            partitions += [partition] if partition.size else []
    label_id = headers.get("label-id", "")
    if label_id and not _LABEL_IDS[label].fullmatch(label_id):
        problems.append(f"{label_id!r} is not a disk identifier")
    numbers = {name: headers.get(name, "0") for name in ("first-lba", "last-lba", "table-length")}
    problems += [f"{name} is not a number: {text[:100]!r}" for name, text in numbers.items() if not _NUMBER.fullmatch(text)]
    problems += _overlaps(partitions)
    if problems:
        raise _rejected(disk, problems)
    return PartitionTable(
        label="gpt" if label == "gpt" else "dos",
        label_id=label_id,
        partitions=tuple(partitions),
        first_lba=int(numbers["first-lba"]),
        last_lba=int(numbers["last-lba"]),
        length=int(numbers["table-length"]),
    )


def sfdisk_script(table: PartitionTable, size_bytes: int) -> str:
    """Return the input for ``sfdisk`` that writes ``table`` to a disk of ``size_bytes``."""
    lines = [f"label: {table.label}", f"label-id: {table.label_id or _default_label_id(table, size_bytes)}", "unit: sectors"]
    if table.label == "gpt":
        lines += [f"first-lba: {table.first_lba}"] if table.first_lba else []
        # On a disk that is larger than the saved one, all of it becomes usable.
        lines += [f"last-lba: {table.last_lba}"] if table.last_lba == size_bytes // SECTOR_BYTES - GPT_SECTORS else []
        lines += [f"table-length: {table.length}"] if table.length else []
    return "\n".join((*lines, "", *(_sfdisk_line(one, table) for one in table.partitions), ""))


def _default_label_id(table: PartitionTable, size_bytes: int) -> str:
    """Return a reproducible disk identifier: sfdisk's default is random, so that no two restored disks would be equal.

    The text that is hashed must never change.
    """
    if table.label == "dos":
        return "0x00000000"
    entries = (
        f"Partition({', '.join(f'{field}={getattr(one, field)!r}' for field in one.__struct_fields__)})"
        for one in table.partitions
    )
    text = ", ".join(entries) + ("," if len(table.partitions) == 1 else "")
    return str(uuid5(_NAMESPACE, f"{size_bytes} ({text})")).upper()


def _sfdisk_line(one: PartitionEntry, table: PartitionTable) -> str:
    if table.label == "gpt" and not one.uuid:
        one = replace(one, uuid=str(uuid5(_NAMESPACE, f"{table.label_id} {one.number} {one.start}")).upper())
    fields = [f"start={one.start}", f"size={one.size}", f"type={one.kind}"]
    fields += [f"{key}={value}" for key, value in (("uuid", one.uuid), ("name", one.name), ("attrs", one.attrs)) if value]
    return f"disk{one.number} : {', '.join(fields)}{', bootable' if one.bootable else ''}"


def _split(text: str) -> tuple[dict[str, str], list[str], list[str]]:
    """Return the headers, the lines of partitions, and problems with other lines."""
    headers: dict[str, str] = {}
    lines: list[str] = []
    problems: list[str] = []
    for line in text.splitlines():
        if match := _HEADER.fullmatch(line.strip()):
            headers[match[1]] = match[2].strip()
        elif line.startswith("/dev/"):
            lines.append(line)
        elif line.strip() and not line.lstrip().startswith(("#", "Warning")):
            problems.append(f"{line.strip()[:100]!r} is neither a header nor a partition")
    return headers, lines, problems


def _parse_partition(line: str, disk: str, label: str) -> PartitionEntry:
    device, _, rest = line.partition(":")
    name = device.strip().removeprefix("/dev/").replace("/", "-")
    fields = {match["name"] or "bootable": match["value"] or "yes" for match in _FIELD.finditer(rest)}
    number = re.fullmatch(r"p?([0-9]{1,3})", name.removeprefix(disk))
    kind = fields.get("type", fields.get("Id", "")).lower()
    kind = kind.upper() if label == "gpt" else kind.removeprefix("0x").lstrip("0") or "0"
    if number is None:
        raise ValueError(f"{name} is not a partition of {disk}")
    partition = PartitionEntry(
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
        raise ValueError("the type is unknown")
    is_valid_uuid = not partition.uuid or _KINDS["gpt"].fullmatch(partition.uuid)
    if not is_valid_uuid or not all(map(_TEXT.fullmatch, (partition.name, partition.attrs))):
        raise ValueError("the UUID, the name or the attributes are invalid")
    return partition


def _number(text: str) -> int:
    if not _NUMBER.fullmatch(text):
        raise ValueError(f"{text!r} is not a number of sectors")
    return int(text)


def _overlaps(partitions: list[PartitionEntry]) -> Iterator[str]:
    """Yield pairs of partitions that share sectors; extended ones contain others, and are ignored."""
    plain = sorted((one for one in partitions if not one.is_extended), key=lambda one: one.start)
    for first, second in pairwise(plain):
        if second.start < first.end:
            yield f"{first.device} and {second.device} overlap"


def _rejected(disk: str, reasons: list[str]) -> ImageError:
    return ImageError.of(
        Problem(summary="Partition table cannot be read", detail=f"In {disk}-pt.sf: {reason}.") for reason in reasons
    )


_ENTRY_BYTES = 128
_MAX_ENTRIES = 128
_NAMED_ATTRIBUTES = {0: "RequiredPartition", 1: "NoBlockIOProtocol", 2: "LegacyBIOSBootable"}


def parse_gpt(sectors: bytes, disk: str) -> PartitionTable:
    """Parse the GPT in the first 34 ``sectors`` of ``disk``. Raises ImageError if it is damaged or not a GPT."""
    header = sectors[SECTOR_BYTES : 2 * SECTOR_BYTES]
    if header[:8] != b"EFI PART" or len(sectors) < 3 * SECTOR_BYTES:
        raise _damaged(disk, "it does not start with a GUID partition table")
    length, checksum = struct.unpack_from("<II", header, 12)
    _, _, first, last = struct.unpack_from("<QQQQ", header, 24)
    at, count, entry_bytes, entries_checksum = struct.unpack_from("<QIII", header, 72)
    if not 92 <= length <= SECTOR_BYTES or zlib.crc32(header[:16] + bytes(4) + header[20:length]) != checksum:  # noqa: PLR2004 - UEFI
        raise _damaged(disk, "the checksum of its header is wrong")
    if (at, entry_bytes) != (2, _ENTRY_BYTES) or not 0 < count <= _MAX_ENTRIES:
        raise _damaged(disk, f"a table of {count} entries of {entry_bytes} bytes in sector {at} is not supported")
    entries = sectors[2 * SECTOR_BYTES : 2 * SECTOR_BYTES + count * _ENTRY_BYTES]
    if zlib.crc32(entries) != entries_checksum:
        raise _damaged(disk, "the checksum of its entries is wrong")
    found = [_gpt_partition(entries[number * _ENTRY_BYTES :][:_ENTRY_BYTES], number + 1, disk) for number in range(count)]
    return PartitionTable(
        label="gpt",
        label_id=_guid(header[56:72]),
        partitions=tuple(one for one in found if one is not None),
        first_lba=first,
        last_lba=last,
    )


def _gpt_partition(entry: bytes, number: int, disk: str) -> PartitionEntry | None:
    if not any(entry[:16]):
        return None
    first, last, attributes = struct.unpack_from("<QQQ", entry, 32)
    name = entry[56:128].decode("utf-16-le", errors="replace").partition("\0")[0]
    escaped = "".join(letter if letter.isprintable() and letter not in '"\\' else "_" for letter in name)
    flags = [_NAMED_ATTRIBUTES.get(bit, f"GUID:{bit}") for bit in range(64) if attributes >> bit & 1]
    between = "p" if disk[-1:].isdigit() else ""
    return PartitionEntry(
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


def _damaged(disk: str, reason: str) -> ImageError:
    return ImageError("Partition table cannot be read", f"In {disk}-gpt-1st: {reason}.")
