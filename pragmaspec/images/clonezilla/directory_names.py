"""The files of a Clonezilla directory by partition, recognised by their names.

Source of the names: ``ocs-functions`` of Clonezilla 5.3.17 and, for older images, of 3.x.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Literal

from pragmaspec.errors import ImageError, Problem
from pragmaspec.frozen import Frozen

Tool = Literal["partclone", "dd", "ntfsclone", "partimage"]
COMPRESSIONS = ("gz", "bz2", "lzo", "lzma", "xz", "lzip", "lrz", "lz4", "zst", "uncomp")
_SUFFIX = r"(?:\.(?P<suffix>[a-z]{2,3}))?"
_PARTCLONE = re.compile(
    rf"(?P<part>[\w-]+)\.(?P<fs>[a-z0-9+_]+)-ptcl-img(?:\.(?P<compression>{'|'.join(COMPRESSIONS)}))?{_SUFFIX}"
)
_PLAIN = re.compile(rf"(?P<part>[\w-]+)\.(?P<fs>[a-z0-9+_]+)-img{_SUFFIX}")
_PARTIMAGE = re.compile(r"(?P<part>[\w-]+?)(?:\.(?P<suffix>[a-z]{2}|[0-9]{3}))?")


class StoredPartition(Frozen, frozen=True):
    """The content of one partition: the volumes ``files``, in order, written by ``tool``.

    ``partition`` is its name in file names (``vda1``); ``compression`` is empty if only the content shows it.
    """

    partition: str
    tool: Tool
    compression: str
    files: tuple[str, ...]


def stored_partitions(names: Iterable[str], partitions: Iterable[str]) -> tuple[StoredPartition, ...]:
    """Find the volumes of ``partitions`` among ``names``. Raises ImageError for missing volumes and duplicate contents."""
    sorted_names = sorted(names)
    found: list[StoredPartition] = []
    problems: list[Problem] = []
    for partition in partitions:
        groups = _volumes_by_tool(partition, sorted_names)
        if len(groups) > 1:
            duplicates = " and in ".join(sorted(files[0] for files in groups.values()))
            detail = f"The content of {partition} is in {duplicates}. Keep one of them."
            problems.append(Problem(summary="Partition stored twice", detail=detail))
        for (tool, compression, is_split), files in groups.items():
            gap = _first_gap(files) if is_split else None
            if gap:
                detail = f"{gap} does not exist, but later volumes do."
                problems.append(Problem(summary="Part of the image is missing", detail=detail))
            found.append(StoredPartition(partition=partition, tool=tool, compression=compression, files=tuple(files)))
    if problems:
        raise ImageError.of(problems)
    return tuple(found)


def _volumes_by_tool(partition: str, names: list[str]) -> dict[tuple[Tool, str, bool], list[str]]:
    """Group the files of ``partition`` by tool, compression, and whether they are split."""
    groups: dict[tuple[Tool, str, bool], list[str]] = {}
    for name in names:
        for tool, compression, is_split in _parse_name(partition, name):
            groups.setdefault((tool, compression, is_split), []).append(name)
    return groups


def _parse_name(partition: str, name: str) -> Iterator[tuple[Tool, str, bool]]:
    if match := _PARTCLONE.fullmatch(name):
        if match["part"] == partition:
            # partclone.dd writes no header, only the bytes of the partition.
            yield "dd" if match["fs"] == "dd" else "partclone", match["compression"] or "", match["suffix"] is not None
    elif match := _PLAIN.fullmatch(name):
        if match["part"] == partition:
            tools: dict[str, Tool] = {"dd": "dd", "ntfs": "ntfsclone"}
            yield tools.get(match["fs"], "partclone"), "", match["suffix"] is not None
    elif (match := _PARTIMAGE.fullmatch(name)) and match["part"] == partition:
        yield "partimage", "", match["suffix"] is not None


def _first_gap(files: list[str]) -> str | None:
    """Return the name of the first missing volume; None if there is none."""
    stem, _, suffix = files[0].rpartition(".")
    for index, name in enumerate(files):
        expected = f"{stem}.{_suffix(index, len(suffix), digits=suffix.isdigit())}"
        if name != expected:
            return expected
    return None


def _suffix(index: int, length: int, *, digits: bool) -> str:
    """Return the suffix number ``index`` of ``split -a length``, or of partimage, which uses digits."""
    if digits:
        return f"{index:0{length}}"
    letters = ""
    for _ in range(length):
        index, digit = divmod(index, 26)
        letters = chr(ord("a") + digit) + letters
    return letters
