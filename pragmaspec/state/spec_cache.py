"""A spec that has been read before, as plain values: so that a plan without changes needs no YAML and no models.

An entry names every file it depends on with its digest, also those that were looked for and not there, and is used only while
all of them are as they were. It may hold private user-data, so only its owner can read it. A damaged entry is no entry.
"""

import os
from collections.abc import Iterable
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import msgspec

from pragmaspec.files import read_regular
from pragmaspec.frozen import Frozen
from pragmaspec.paths import cache_home
from pragmaspec.planning.wanted import Wanted
from pragmaspec.state.backends.local.durable import make_private_directory

FORMAT = 2
"""Grows when the same files give another result; versions between releases have the same name."""
ABSENT = ""
"""Stands for the digest of a file that is not there."""


class _Entry(Frozen, frozen=True):
    format: int
    tool: str
    context: str
    inputs: tuple[tuple[str, str], ...]
    wanted: Wanted


class SpecCache:
    """Entries in ``directory`` (default: in the user's cache folder), made by the pragmaspec version ``tool``."""

    def __init__(self, tool: str, directory: Path | None = None) -> None:
        self._tool = tool
        self._directory = directory or cache_home() / "pragmaspec" / "wanted"

    def get(self, spec: Path, context: str = "") -> Wanted | None:
        """What ``spec`` wants, if nothing it depends on has changed.

        ``context`` is whatever else the reading depended on (the user's configuration folder, say), the same as at :meth:`put`.
        """
        try:
            entry = msgspec.json.decode(self._file(spec).read_bytes(), type=_Entry)
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
            return None
        if (entry.format, entry.tool, entry.context) != (FORMAT, self._tool, context):
            return None
        return entry.wanted if all(file_digest(Path(file)) == digest for file, digest in entry.inputs) else None

    def put(self, spec: Path, wanted: Wanted, inputs: Iterable[tuple[str, str]], context: str = "") -> None:
        """Keep ``wanted``; ``inputs`` pairs every file it was made from with its SHA-256, or :data:`ABSENT`.

        That a cache cannot be written is no error: the next plan is only slower.
        """
        entry = _Entry(format=FORMAT, tool=self._tool, context=context, inputs=tuple(inputs), wanted=wanted)
        path = self._file(spec)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        with suppress(OSError):
            make_private_directory(path.parent)
            with suppress(FileNotFoundError):
                temporary.unlink()
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(msgspec.json.encode(entry))
            temporary.replace(path)

    def forget(self, spec: Path) -> None:
        """Remove what is kept of ``spec``, if anything is."""
        with suppress(OSError):
            self._file(spec).unlink()

    def _file(self, spec: Path) -> Path:
        return self._directory / f"{sha256(os.fsencode(spec.absolute())).hexdigest()}.json"


def file_digest(path: Path) -> str:
    """SHA-256 of the file, :data:`ABSENT` when there is none that can be read."""
    try:
        return sha256(read_regular(path, -1)).hexdigest()
    except OSError:
        return ABSENT
