"""Which files of a Clonezilla directory hold which partition, told by their names alone.

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
    """One partition's content: ``files`` in order, written by ``tool``.

    ``partition`` is its name in names of files (``vda1``); ``compression`` is empty when only the bytes tell it.
    """

    partition: str
    tool: Tool
    compression: str
    files: tuple[str, ...]


def stored_partitions(names: Iterable[str], parts: Iterable[str]) -> tuple[StoredPartition, ...]:
    """What ``names`` hold of the partitions ``parts``. Raises ImageError when volumes are missing or there are two of a kind."""
    listed = sorted(names)
    found: list[StoredPartition] = []
    wrong: list[Problem] = []
    for part in parts:
        kinds = _kinds(part, listed)
        if len(kinds) > 1:
            detail = f"{part} is held by {' and by '.join(sorted(group[0] for group in kinds.values()))}. Keep one of them."
            wrong.append(Problem(summary="Partition stored twice", detail=detail))
        for (tool, compression, split), files in kinds.items():
            gap = _gap(files) if split else None
            if gap:
                wrong.append(
                    Problem(summary="Part of the image is missing", detail=f"{gap} is not there, but what follows it is.")
                )
            found.append(StoredPartition(partition=part, tool=tool, compression=compression, files=tuple(files)))
    if wrong:
        raise ImageError.of(wrong)
    return tuple(found)


def _kinds(part: str, names: list[str]) -> dict[tuple[Tool, str, bool], list[str]]:
    """The files of ``part``, grouped by what wrote them."""
    kinds: dict[tuple[Tool, str, bool], list[str]] = {}
    for name in names:
        for tool, compression, split in _reading(part, name):
            kinds.setdefault((tool, compression, split), []).append(name)
    return kinds


def _reading(part: str, name: str) -> Iterator[tuple[Tool, str, bool]]:
    if match := _PARTCLONE.fullmatch(name):
        if match["part"] == part:
            # What partclone.dd writes has no header: it is the bare bytes.
            yield "dd" if match["fs"] == "dd" else "partclone", match["compression"] or "", match["suffix"] is not None
    elif match := _PLAIN.fullmatch(name):
        if match["part"] == part:
            tools: dict[str, Tool] = {"dd": "dd", "ntfs": "ntfsclone"}
            yield tools.get(match["fs"], "partclone"), "", match["suffix"] is not None
    elif (match := _PARTIMAGE.fullmatch(name)) and match["part"] == part:
        yield "partimage", "", match["suffix"] is not None


def _gap(files: list[str]) -> str | None:
    """The first volume that is not there, or None."""
    stem, _, first = files[0].rpartition(".")
    for index, name in enumerate(files):
        wanted = f"{stem}.{_suffix(index, len(first), digits=first.isdigit())}"
        if name != wanted:
            return wanted
    return None


def _suffix(index: int, length: int, *, digits: bool) -> str:
    """The ``index``-th suffix as ``split -a length`` (or partimage, in digits) counts."""
    if digits:
        return f"{index:0{length}}"
    letters = ""
    for _ in range(length):
        index, digit = divmod(index, 26)
        letters = chr(ord("a") + digit) + letters
    return letters
