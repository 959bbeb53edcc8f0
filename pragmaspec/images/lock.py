"""``pragmaspec.lock`` beside the spec: what each image was found to be, so that everybody with the repository gets the same.

TOML, sorted, one block an image, meant to be committed and read in reviews. An entry counts as long as the image's description in
the spec is the one it was made for; delete an entry (or the file) to have the image made or looked at anew.
"""

import fcntl
import json
import os
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import msgspec

from pragmaspec.errors import ImageError, Problem
from pragmaspec.frozen import Frozen
from pragmaspec.images.store import write_whole
from pragmaspec.recorded import Blob

LOCK_FILE = "pragmaspec.lock"
VERSION = 1
DIGEST_DIGITS = 64
_HEAD = """\
# Written by pragmaspec: what each image of the spec was found to be. Commit this file.
# Delete a block to have that image built or looked at anew.
"""


class Locked(Frozen, frozen=True):
    """One image as it was resolved.

    ``described`` is the digest of its description in the spec; ``packages`` that of its list of packages, for a built image;
    ``date`` the day of the resolution, year-month-day.
    """

    described: str
    digest: str
    origin: str
    format: Literal["qcow2", "raw"]
    virtual_size_bytes: int
    disk: Blob
    kernel: Blob | None = None
    initrd: Blob | None = None
    cmdline: str = ""
    packages: str = ""
    date: str = ""


def read_lock(directory: Path) -> dict[str, Locked]:
    """The entries by image name; none when there is no lock file. Raises ImageError when it cannot be understood."""
    file = directory / LOCK_FILE
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(file, str(error)) from None
    try:
        document = tomllib.loads(text)
        if document.get("version") != VERSION:
            raise _unreadable(file, f"it is of version {document.get('version')}, and this pragmaspec reads version {VERSION}")
        images: Mapping[str, Mapping[str, Any]] = document.get("images", {})
        return {name: msgspec.convert(_with_blobs(block), Locked) for name, block in images.items()}
    except (tomllib.TOMLDecodeError, msgspec.ValidationError, ValueError, AttributeError) as error:
        raise _unreadable(file, str(error)) from None


def write_lock(directory: Path, name: str, locked: Locked) -> None:
    """Put the entry of image ``name`` into the lock file; the other entries stay. Writes nothing when it stands there already."""
    with _directory_held(directory):
        entries = read_lock(directory)
        if entries.get(name) != locked:
            write_whole(directory / LOCK_FILE, lock_text({**entries, name: locked}).encode(), mode=0o644)


@contextmanager
def _directory_held(directory: Path) -> Iterator[None]:
    """Two runs that resolve two images of one spec must not lose each other's entries."""
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def lock_text(entries: Mapping[str, Locked]) -> str:
    """The lock file that holds ``entries``."""
    blocks = [_HEAD, f"version = {VERSION}\n"]
    blocks.extend(_block(name, entries[name]) for name in sorted(entries))
    return "\n".join(blocks)


def _block(name: str, locked: Locked) -> str:
    values = msgspec.to_builtins(locked)
    lines = [f"[images.{name if _bare(name) else _string(name)}]"]
    for field in locked.__struct_fields__:
        value = values.get(field)
        if isinstance(value, dict):
            lines.append(f'{field} = "sha256:{value["sha256"]} {value["size_bytes"]}"')
        elif isinstance(value, int):
            lines.append(f"{field} = {value}")
        elif value:
            lines.append(f"{field} = {_string(value)}")
    return "\n".join(lines) + "\n"


def _bare(name: str) -> bool:
    return bool(name) and all(letter.isascii() and (letter.isalnum() or letter in "-_") for letter in name)


def _string(text: str) -> str:
    """A TOML basic string: JSON's escapes, of which TOML knows all but the escaped slash, which is never written."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _with_blobs(block: Mapping[str, Any]) -> dict[str, Any]:
    """The block with each ``sha256:<digest> <bytes>`` taken apart."""
    return {field: _blob(value) if field in {"disk", "kernel", "initrd"} else value for field, value in block.items()}


def _blob(text: str) -> dict[str, Any]:
    digest, _, size = text.removeprefix("sha256:").partition(" ")
    if len(digest) != DIGEST_DIGITS:
        raise ValueError(f"{text!r} is not sha256:<64 digits> <bytes>")
    return {"sha256": digest, "size_bytes": int(size)}


def _unreadable(file: Path, why: str) -> ImageError:
    return ImageError(
        Problem(
            summary="lock file cannot be read",
            detail=f"{file}: {why}. Take it back from version control; without it, images are built and looked at anew.",
        )
    )
