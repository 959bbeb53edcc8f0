"""``pragmaspec.lock`` beside the spec: what each image was found to be, so that everybody with the repository gets the same.

TOML, sorted, one block an image, meant to be committed and read in reviews. An entry counts as long as the image's description in
the spec is the one it was made for. Other tables of the file, for the other things an environment is made of (versions,
addresses, placement), belong to others and are kept as they are.

Tables as TOML 1.0 text, keys in the order they have: the standard library reads TOML and does not write it.
"""

import fcntl
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

import msgspec

from pragmaspec.errors import ImageError
from pragmaspec.images.lock.parse import IMAGES_TABLE, VERSION, LockDocument, image_blocks, read_document
from pragmaspec.images.store.blobs import write_atomically
from pragmaspec.images.store.fetched import Fetched
from pragmaspec.planning.wanted import Firmware
from pragmaspec.resources import Blob, BootImage


def toml_text(table: Mapping[str, Any], *path: str) -> str:
    """``table`` under the header ``[path]`` (none: at the top), its tables after its values."""
    return "\n".join(_lines(table, path)) + "\n"


def _lines(table: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[str]:
    values = {key: value for key, value in table.items() if not isinstance(value, Mapping)}
    if path and (values or len(values) == len(table)):
        yield f"[{'.'.join(map(_key, path))}]"
    for key, value in values.items():
        yield f"{_key(key)} = {_value(value)}"
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield ""
            yield from _lines(value, (*path, key))


def _key(text: str) -> str:
    bare = bool(text) and all(letter.isascii() and (letter.isalnum() or letter in "-_") for letter in text)
    return text if bare else _string(text)


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{_key(key)} = {_value(each)}' for key, each in value.items())}}}"
    return _string(str(value))


def _string(text: str) -> str:
    """A basic string: JSON's escapes, of which TOML knows all but the escaped slash, which is never written."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


LOCK_FILE = "pragmaspec.lock"
_HEAD = """\
# Written by pragmaspec: what each image of the spec was found to be. Commit this file.
# `pragmaspec lock` adds what is missing, `pragmaspec lock --upgrade NAME` moves an image to what its source gives now.
"""


class LockEntry(BootImage, frozen=True, kw_only=True):
    """One image as it was resolved.

    ``described`` is the digest of its description in the spec, empty where a local file decides; ``digest`` stands for all that a
    node boots; ``packages`` is the digest of the list of packages, for a built image. ``url`` to ``signed_by``: what was
    transferred, if anything was, as in :class:`Fetched`. ``firmware``: what starts the disk; a BIOS where nothing is said.
    ``date`` is the day of the resolution, year-month-day.
    """

    described: str
    digest: str
    origin: str
    firmware: Firmware = "bios"
    packages: str = ""
    url: str = ""
    fetched: Blob | None = None
    sha512: str = ""
    version: str = ""
    published: str = ""
    signed_by: str = ""
    date: str = ""

    @property
    def transfer(self) -> Fetched | None:
        """What was transferred."""
        if self.fetched is None:
            return None
        return Fetched(
            blob=self.fetched,
            url=self.url,
            sha512=self.sha512,
            published=self.published,
            version=self.version,
            signed_by=self.signed_by,
        )


LOCK_FIELDS = ("described", "digest", "origin", *BootImage.__struct_fields__)
LOCK_FIELDS += tuple(name for name in LockEntry.__struct_fields__ if name not in LOCK_FIELDS)
"""The fields of an entry in the order of the file."""


def read_lock(directory: Path) -> dict[str, LockEntry]:
    """The entries by image name; none when there is no lock file. Raises ImageError when it cannot be understood."""
    return {name: msgspec.convert(block, LockEntry) for name, block in image_blocks(_document(directory)).items()}


def write_lock(directory: Path, name: str, locked: LockEntry) -> None:
    """Put the entry of image ``name`` into the lock file; the other entries stay. Writes nothing when it stands there already."""
    with _directory_held(directory):
        entries = read_lock(directory)
        if entries.get(name) != locked:
            _write(directory, {**entries, name: locked})


def remove_from_lock(directory: Path, names: Iterable[str]) -> None:
    """Remove the entries ``names``, those that are there."""
    gone = set(names)
    with _directory_held(directory):
        entries = read_lock(directory)
        if gone.intersection(entries):
            _write(directory, {name: locked for name, locked in entries.items() if name not in gone})


def read_table(directory: Path, name: str) -> dict[str, Any]:
    """The table ``name`` of the lock file, which is not of images; empty when there is none. Raises ImageError."""
    found: dict[str, Any] = _document(directory).tables.get(name, {})
    return found


def write_table(directory: Path, name: str, table: Mapping[str, Any]) -> None:
    """Put ``table`` into the lock file in place of the one called ``name``; all the rest stays."""
    with _directory_held(directory):
        others = _others(_document(directory))
        if others.get(name) != table:
            _write(directory, read_lock(directory), {**others, name: dict(table)})


def _write(directory: Path, entries: Mapping[str, LockEntry], others: Mapping[str, Any] | None = None) -> None:
    kept = _others(_document(directory)) if others is None else others
    file = directory / LOCK_FILE
    try:
        write_atomically(file, lock_text(entries, kept).encode(), mode=0o644)
    except OSError as error:
        detail = f"{file} cannot be written: {error.strerror}. It belongs beside the spec, in a folder that you may write to."
        raise ImageError("Lock file not writable", detail) from None


@contextmanager
def _directory_held(directory: Path) -> Iterator[None]:
    """Two runs that resolve two images of one spec must not lose each other's entries."""
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def lock_text(entries: Mapping[str, LockEntry], others: Mapping[str, Any] | None = None) -> str:
    """The lock file that holds ``entries``, and the tables ``others``."""
    blocks = [_HEAD, f"version = {VERSION}\n"]
    blocks.extend(toml_text(_block(entries[name]), IMAGES_TABLE, name) for name in sorted(entries))
    blocks.extend(toml_text(table, name) for name, table in sorted((others or {}).items()))
    return "\n".join(blocks)


def _block(locked: LockEntry) -> dict[str, Any]:
    """The entry with each blob as ``sha256:<digest> <bytes>``, in the order of the fields."""
    values = msgspec.to_builtins(locked)
    given = ((field, values.get(field)) for field in LOCK_FIELDS)
    return {
        field: f"sha256:{value['sha256']} {value['size_bytes']}" if isinstance(value, dict) else value
        for field, value in given
        if value or field == "described"
    }


def _others(document: LockDocument) -> dict[str, Any]:
    return {name: table for name, table in document.tables.items() if name not in {"version", IMAGES_TABLE}}


def _document(directory: Path) -> LockDocument:
    return read_document(directory / LOCK_FILE)
