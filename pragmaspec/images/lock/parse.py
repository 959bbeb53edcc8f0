"""The text of a lock file, taken apart; what is wrong with it is told with its line, all at once."""

import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pragmaspec.errors import ImageError, Problem, Where
from pragmaspec.files import read_regular
from pragmaspec.frozen import Frozen
from pragmaspec.images.formats.inspect import MAX_VIRTUAL_BYTES

VERSION = 1
IMAGES_TABLE = "images"
BLOB_FIELDS = frozenset({"fetched", "disk", "kernel", "initrd"})
_NEEDED = ("described", "digest", "origin", "format", "virtual_size_bytes", "disk")
_TEXTS = frozenset({"described", "origin", "cmdline", "url", "sha512", "version", "published", "signed_by", "date"})
_DIGESTS = frozenset({"digest", "packages"})
_CHOICES = {"format": ("qcow2", "raw"), "firmware": ("bios", "uefi")}
_DIGEST = re.compile(r"[0-9a-f]{64}")
_BLOB = re.compile(r"sha256:([0-9a-f]{64}) ([0-9]{1,18})")
_CONFLICT = re.compile(r"^(<{7}|={7}|>{7})( |$)")
_AT = re.compile(r" \(at line (\d+), column (\d+)\)")
_BLOCK_ANEW = "Take the file back from version control, or delete the image's block and run `pragmaspec lock`."
_WAY_OUT = "Take the file back from version control; without it, images are built and looked at anew."


class LockDocument(Frozen, frozen=True):
    """A lock file that is TOML and of a known version: its text, and its tables by name."""

    file: str
    text: str
    tables: dict[str, Any]

    def line(self, name: str, field: str = "") -> int:
        """The number of the line where ``field`` of the image ``name`` stands, else where its block begins, else 1."""
        head, block = re.compile(rf"\s*\[\s*{IMAGES_TABLE}\s*\.\s*[\"']?{re.escape(name)}[\"']?\s*\]"), 0
        for number, line in enumerate(self.text.splitlines(), start=1):
            if head.match(line):
                block = number
            elif block and line.lstrip().startswith("["):
                break
            elif block and field and re.match(rf"\s*{re.escape(field)}\s*=", line):
                return number
        return block or 1

    def top_line(self, name: str) -> int:
        """The number of the line where the value ``name`` of the whole file stands, else 1."""
        said = re.compile(rf"[\"']?{re.escape(name)}[\"']?\s*=")
        return next((number for number, line in enumerate(self.text.splitlines(), start=1) if said.match(line)), 1)

    def problem(self, why: str, line: int = 1, column: int = 1, way_out: str = _WAY_OUT) -> Problem:
        """``why`` the file cannot be used as it is, at a place in it."""
        quote = next(iter(self.text.splitlines()[line - 1 : line]), None)
        where = Where(file=self.file, line=line, column=column)
        return Problem(summary="Lock file cannot be read", detail=f"{why}. {way_out}", where=where, quote=quote)


_MOST_BYTES = 16 * 2**20
"""Room for a hundred thousand images; a larger file is cut off, and so is damaged."""


def read_document(file: Path) -> LockDocument:
    """The lock file, without any table when it is not there. Raises ImageError when it cannot be understood."""
    blank = LockDocument(file=str(file), text="", tables={"version": VERSION})
    try:
        text = read_regular(file, _MOST_BYTES).decode().replace("\r\n", "\n")
    except FileNotFoundError:
        return blank
    except UnicodeDecodeError as error:
        raise ImageError.of([blank.problem(f"Its byte {error.start + 1} is not text in UTF-8")]) from None
    except OSError as error:
        raise ImageError.of([blank.problem(f"It cannot be opened: {error.strerror}")]) from None
    try:
        document = LockDocument(file=str(file), text=text, tables=tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise ImageError.of([_no_toml(LockDocument(file=str(file), text=text, tables={}), str(error))]) from None
    wrong = tuple(_against(document))
    if wrong:
        raise ImageError.of(wrong)
    return document


def image_blocks(document: LockDocument) -> dict[str, dict[str, Any]]:
    """The blocks of images by name, each ``sha256:<digest> <bytes>`` taken apart. Raises ImageError with all that is wrong."""
    images: Mapping[str, Mapping[str, Any]] = document.tables.get(IMAGES_TABLE, {})
    wrong = [
        document.problem(f"{name}: {why}", document.line(name, field), way_out=_BLOCK_ANEW)
        for name, block in images.items()
        for field, why in _against_block(block)
    ]
    if wrong:
        raise ImageError.of(wrong)
    return {
        name: {field: _blob(value) if field in BLOB_FIELDS else value for field, value in block.items()}
        for name, block in images.items()
    }


def _no_toml(document: LockDocument, said: str) -> Problem:
    """``said``: what the reader of TOML has against it."""
    lines = document.text.splitlines()
    marker = next((number for number, line in enumerate(lines, start=1) if _CONFLICT.match(line)), 0)
    if marker:
        name = Path(document.file).name
        way_out = (
            f"Take one side whole (`git checkout --ours {name}` or `--theirs`), then run `pragmaspec lock`, which adds what is "
            "missing."
        )
        return document.problem("It holds a git merge conflict: two people pinned other images", marker, way_out=way_out)
    at = _AT.search(said)
    words = said[: at.start()] if at else said.removesuffix(" (at end of document)")
    return document.problem(f"It is not TOML: {words}", int(at[1]) if at else max(1, len(lines)), int(at[2]) if at else 1)


def _against(document: LockDocument) -> Iterator[Problem]:
    """What is wrong with the file as a whole."""
    version = document.tables.get("version")
    if version is None:
        yield document.problem(f"It does not say its version; this pragmaspec reads version {VERSION}")
    elif version != VERSION:
        way_out = "Install the version of pragmaspec that wrote it, or a later one; or take the file back from version control."
        yield document.problem(f"It is of version {version}, and this pragmaspec reads version {VERSION}", way_out=way_out)
    for name, table in document.tables.items():
        if name != "version" and not isinstance(table, dict):
            yield document.problem(f"{name} is not a table", document.top_line(name))


def _against_block(block: object) -> Iterator[tuple[str, str]]:
    """Each field of an image's block that is wrong, and why; the field is empty where it is the block itself."""
    if not isinstance(block, dict):
        yield "", "it is not a table"
        return
    missing = [field for field in _NEEDED if field not in block]
    if missing:
        yield "", f"it has no {', '.join(missing)}"
    for field, value in block.items():
        why = _against_value(field, value)
        if why:
            yield field, f"{field} {why}"
    disk, size = block.get("disk"), block.get("virtual_size_bytes")
    if block.get("format") == "raw" and not (_against_value("disk", disk) or _against_value("virtual_size_bytes", size)):
        length = _blob(disk)["size_bytes"]
        if size != length:
            yield "virtual_size_bytes", f"virtual_size_bytes is {size}, and a raw disk has as many bytes as its file, {length}"


def _against_value(field: str, value: object) -> str:
    """Why the field cannot have this value; empty when it can."""
    if field == "virtual_size_bytes":
        sound = isinstance(value, int) and not isinstance(value, bool) and 0 < value <= MAX_VIRTUAL_BYTES
        return "" if sound else f"is {value!r}, which is not a size of a disk"
    if field not in BLOB_FIELDS | _DIGESTS | _TEXTS | _CHOICES.keys():
        return "is not known to this pragmaspec"
    if not isinstance(value, str):
        return f"is {value}, which is not text in quotes"
    if field in _CHOICES:
        return "" if value in _CHOICES[field] else f"is {value!r}; it can be {' or '.join(_CHOICES[field])}"
    if field in BLOB_FIELDS:
        return "" if _BLOB.fullmatch(value) else f"is {value!r}, and not sha256:<64 digits> <bytes>"
    return "" if field in _TEXTS or _DIGEST.fullmatch(value) else f"is {value!r}, and not 64 hexadecimal digits"


def _blob(text: object) -> dict[str, Any]:
    found = _BLOB.fullmatch(str(text))
    return {"sha256": found[1], "size_bytes": int(found[2])} if found else {}
