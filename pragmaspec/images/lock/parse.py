"""Parse and check a lock file; all problems are reported at once, each with its line."""

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
SITES_TABLE = "sites"
PROCESSOR = "processor"
"""The key of a site's block that pins the processor of new nodes."""
AT = "at"
"""The key of an image's block that contains a block per site where the image lives."""
BLOB_FIELDS = frozenset({"fetched", "disk", "kernel", "initrd"})
_NEEDED = ("described", "digest", "origin", "format", "virtual_size_bytes", "disk")
_TEXTS = frozenset({"described", "origin", "cmdline", "url", "sha512", "version", "published", "signed_by", "date"})
_DIGESTS = frozenset({"digest", "packages"})
_CHOICES = {"format": ("qcow2", "raw"), "firmware": ("bios", "uefi")}
_SITE_NEEDED = ("described", "site_id", "id", "name", "format", "virtual_size_bytes")
_SITE_TEXTS = frozenset({"described", "site_id", "id", "name", "checksum", "created", "date"})
_AMOUNTS = frozenset({"copy_bytes", "min_memory_mib"})
_DIGEST = re.compile(r"[0-9a-f]{64}")
_BLOB = re.compile(r"sha256:([0-9a-f]{64}) ([0-9]{1,18})")
_CONFLICT = re.compile(r"^(<{7}|={7}|>{7})( |$)")
_AT = re.compile(r" \(at line (\d+), column (\d+)\)")
_PROCESSOR = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")
_PIN_AGAIN = "Restore the file from version control, or delete the site's block and plan again."
_LOCK_AGAIN = "Restore the file from version control, or delete the image's block and run `pragmaspec lock`."
_ADVICE = "Restore the file from version control; without it, images are resolved and built again."


class LockDocument(Frozen, frozen=True):
    """A lock file of a known version: its text, and its tables by name."""

    file: str
    text: str
    tables: dict[str, Any]

    def line(self, name: str, field: str = "", site: str = "") -> int:
        """Return the line number of ``field`` of the image ``name`` (at ``site``), else that of its block, else 1."""
        return self._block_line((IMAGES_TABLE, name, AT, site) if site else (IMAGES_TABLE, name), field)

    def site_line(self, name: str) -> int:
        """Return the line number of the processor of the site ``name``, else that of its block, else 1."""
        return self._block_line((SITES_TABLE, name), PROCESSOR)

    def _block_line(self, keys: tuple[str, ...], field: str) -> int:
        head = re.compile(r"\s*\[\s*" + r"\s*\.\s*".join(rf"[\"']?{re.escape(key)}[\"']?" for key in keys) + r"\s*\]")
        block = 0
        for number, line in enumerate(self.text.splitlines(), start=1):
            if head.match(line):
                block = number
            elif block and line.lstrip().startswith("["):
                break
            elif block and field and re.match(rf"\s*{re.escape(field)}\s*=", line):
                return number
        return block or 1

    def top_line(self, name: str) -> int:
        """Return the line number of the top-level value ``name``, else 1."""
        key = re.compile(rf"[\"']?{re.escape(name)}[\"']?\s*=")
        return next((number for number, line in enumerate(self.text.splitlines(), start=1) if key.match(line)), 1)

    def problem(self, why: str, line: int = 1, column: int = 1, advice: str = _ADVICE) -> Problem:
        """Return the problem for a reason at a position in the file."""
        quote = next(iter(self.text.splitlines()[line - 1 : line]), None)
        where = Where(file=self.file, line=line, column=column)
        return Problem(summary="Lock file cannot be read", detail=f"{why}. {advice}", where=where, quote=quote)


_MAX_BYTES = 16 * 2**20
"""Enough for a hundred thousand images; a larger file is truncated, and so invalid."""


def read_document(file: Path) -> LockDocument:
    """Read a lock file; an absent one has no tables. Raises ImageError if it is invalid."""
    blank = LockDocument(file=str(file), text="", tables={"version": VERSION})
    try:
        text = read_regular(file, _MAX_BYTES).decode().replace("\r\n", "\n")
    except FileNotFoundError:
        return blank
    except UnicodeDecodeError as error:
        raise ImageError.of([blank.problem(f"Byte {error.start + 1} is not valid UTF-8")]) from None
    except OSError as error:
        raise ImageError.of([blank.problem(f"It cannot be opened: {error.strerror}")]) from None
    try:
        document = LockDocument(file=str(file), text=text, tables=tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise ImageError.of([_toml_problem(LockDocument(file=str(file), text=text, tables={}), str(error))]) from None
    problems = tuple(_document_problems(document))
    if problems:
        raise ImageError.of(problems)
    return document


def image_blocks(document: LockDocument) -> dict[str, dict[str, Any]]:
    """Return the blocks of images by name, with each ``sha256:<digest> <bytes>`` parsed. Raises ImageError with all problems."""
    images: Mapping[str, Any] = document.tables.get(IMAGES_TABLE, {})
    problems = [
        document.problem(f"{name}: {why}", document.line(name, field), advice=_LOCK_AGAIN)
        for name, block in images.items()
        for field, why in _block_problems(block)
    ]
    if problems:
        raise ImageError.of(problems)
    return {
        name: {field: _blob(value) if field in BLOB_FIELDS else value for field, value in block.items() if field != AT}
        for name, block in images.items()
        if block.keys() != {AT}
    }


def site_blocks(document: LockDocument) -> dict[tuple[str, str], dict[str, Any]]:
    """Return the blocks of images that live at a site, by image and site. Raises ImageError with all problems."""
    blocks = {
        (name, site): block
        for name, image in document.tables.get(IMAGES_TABLE, {}).items()
        if isinstance(image, dict)
        for site, block in _sites(image).items()
    }
    problems = [
        document.problem(f"{name} at {site}: {why}", document.line(name, field, site), advice=_LOCK_AGAIN)
        for (name, site), block in blocks.items()
        for field, why in _site_block_problems(block)
    ]
    if problems:
        raise ImageError.of(problems)
    return blocks


def site_processors(document: LockDocument) -> dict[str, str]:
    """Return the pinned processors by site. Raises ImageError with all problems. Other values of a site's block are ignored."""
    sites: Mapping[str, Any] = document.tables.get(SITES_TABLE, {})
    problems = [
        document.problem(f"site {name}: {why}", document.site_line(name), advice=_PIN_AGAIN)
        for name, block in sites.items()
        if (why := _processor_problem(block))
    ]
    if problems:
        raise ImageError.of(problems)
    return {name: block[PROCESSOR] for name, block in sites.items() if PROCESSOR in block}


def _processor_problem(block: object) -> str:
    if not isinstance(block, dict):
        return "it is not a table"
    value = block.get(PROCESSOR, "host")
    sound = isinstance(value, str) and _PROCESSOR.fullmatch(value) is not None
    return "" if sound else f"{PROCESSOR} is {value!r}, which is not the name of a processor"


def _sites(image: Mapping[str, Any]) -> Mapping[str, Any]:
    at = image.get(AT, {})
    return at if isinstance(at, dict) else {}


def _site_block_problems(block: object) -> Iterator[tuple[str, str]]:
    """Yield each invalid field of the block of an image at a site, empty for the block itself, and the reason."""
    if not isinstance(block, dict):
        yield "", "it is not a table"
        return
    missing = [field for field in _SITE_NEEDED if field not in block]
    if missing:
        yield "", f"it has no {', '.join(missing)}"
    for field, value in block.items():
        why = _site_value_problem(field, value)
        if why:
            yield field, f"{field} {why}"


def _site_value_problem(field: str, value: object) -> str:
    if field in _AMOUNTS:
        sound = isinstance(value, int) and not isinstance(value, bool) and value >= 0
        return "" if sound else f"is {value!r}, which is not an amount"
    return _value_problem(field, value, _SITE_TEXTS, frozenset(), frozenset())


def _toml_problem(document: LockDocument, message: str) -> Problem:
    """Return the problem for a ``message`` of the TOML parser."""
    lines = document.text.splitlines()
    marker = next((number for number, line in enumerate(lines, start=1) if _CONFLICT.match(line)), 0)
    if marker:
        name = Path(document.file).name
        advice = (
            f"Take one side (`git checkout --ours {name}` or `--theirs`), then run `pragmaspec lock`, which adds what is missing."
        )
        return document.problem("It has a git merge conflict: two branches locked different images", marker, advice=advice)
    at = _AT.search(message)
    words = message[: at.start()] if at else message.removesuffix(" (at end of document)")
    return document.problem(f"It is not TOML: {words}", int(at[1]) if at else max(1, len(lines)), int(at[2]) if at else 1)


def _document_problems(document: LockDocument) -> Iterator[Problem]:
    """Yield the problems of the file as a whole."""
    version = document.tables.get("version")
    if version is None:
        yield document.problem(f"It has no version; this pragmaspec reads version {VERSION}")
    elif version != VERSION:
        advice = "Install the version of pragmaspec that wrote it, or a later one; or restore the file from version control."
        yield document.problem(f"It has version {version}, but this pragmaspec reads version {VERSION}", advice=advice)
    for name, table in document.tables.items():
        if name != "version" and not isinstance(table, dict):
            yield document.problem(f"{name} is not a table", document.top_line(name))


def _block_problems(block: object) -> Iterator[tuple[str, str]]:
    """Yield each invalid field of an image's block, empty for the block itself, and the reason."""
    if not isinstance(block, dict):
        yield "", "it is not a table"
        return
    if not isinstance(block.get(AT, {}), dict):
        yield AT, "at is not a table"
    missing = [field for field in _NEEDED if field not in block]
    if missing and block.keys() != {AT}:
        yield "", f"it has no {', '.join(missing)}"
    for field, value in block.items():
        why = "" if field == AT else _value_problem(field, value)
        if why:
            yield field, f"{field} {why}"
    disk, size = block.get("disk"), block.get("virtual_size_bytes")
    if block.get("format") == "raw" and not (_value_problem("disk", disk) or _value_problem("virtual_size_bytes", size)):
        length = _blob(disk)["size_bytes"]
        if size != length:
            yield "virtual_size_bytes", f"virtual_size_bytes is {size}, but a raw disk has the size of its file, {length}"


def _value_problem(
    field: str,
    value: object,
    texts: frozenset[str] = _TEXTS,
    digests: frozenset[str] = _DIGESTS,
    blobs: frozenset[str] = BLOB_FIELDS,
) -> str:
    """Return why the field cannot have this value; empty if it can. ``texts``, ``digests`` and ``blobs``: the known fields."""
    if field == "virtual_size_bytes":
        sound = isinstance(value, int) and not isinstance(value, bool) and 0 < value <= MAX_VIRTUAL_BYTES
        return "" if sound else f"is {value!r}, which is not the size of a disk"
    if field not in blobs | digests | texts | _CHOICES.keys():
        return "is unknown to this pragmaspec"
    if not isinstance(value, str):
        return f"is {value}, which is not a string"
    if field in _CHOICES:
        return "" if value in _CHOICES[field] else f"is {value!r}; it must be {' or '.join(_CHOICES[field])}"
    if field in blobs:
        return "" if _BLOB.fullmatch(value) else f"is {value!r}, not sha256:<64 digits> <bytes>"
    return "" if field in texts or _DIGEST.fullmatch(value) else f"is {value!r}, not 64 hexadecimal digits"


def _blob(text: object) -> dict[str, Any]:
    found = _BLOB.fullmatch(str(text))
    return {"sha256": found[1], "size_bytes": int(found[2])} if found else {}
