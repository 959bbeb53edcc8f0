"""A cache of expanded specs, so that a plan without changes loads neither YAML nor the models.

An entry lists every file on which it depends with its digest, including files that were looked up and absent, and is valid only
while none of them has changed. It may contain private user-data, so only its owner can read it. A damaged entry is ignored.
"""

import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import msgspec

from pragmaspec.files import read_regular
from pragmaspec.frozen import Frozen
from pragmaspec.paths import cache_home
from pragmaspec.planning.wanted import Wanted
from pragmaspec.state.backends.local.durable import make_private_directory

FORMAT = 3
"""Incremented when the same files give another result; all versions between two releases have the same name."""
ABSENT = ""
"""In place of the digest of an absent file."""


class _Entry(Frozen, frozen=True):
    format: int
    tool: str
    context: str
    inputs: tuple[tuple[str, str], ...]
    wanted: Wanted


class SpecCache:
    """Entries in ``directory`` (default: in the user's cache directory) of the pragmaspec version ``tool``."""

    def __init__(self, tool: str, directory: Path | None = None) -> None:
        self._tool = tool
        self._directory = directory or cache_home() / "pragmaspec" / "wanted"

    def get(self, spec: Path, context: str = "") -> Wanted | None:
        """Return the expanded ``spec``, if nothing on which it depends has changed.

        ``context`` is any other input of the expansion, such as the user's configuration directory, equal to that of :meth:`put`.
        """
        entry = self._entry(spec)
        if entry is None or entry.context != context:
            return None
        return entry.wanted if all(file_digest(Path(file)) == digest for file, digest in entry.inputs) else None

    def put(self, spec: Path, wanted: Wanted, inputs: Iterable[tuple[str, str]], context: str = "") -> None:
        """Store ``wanted``; ``inputs`` are all files from which it was made, with their SHA-256 or :data:`ABSENT`.

        A cache that cannot be written is no error: the next plan is only slower.
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

    def follow(self, spec: Path, file: Path, digests: tuple[str, str], change: Callable[[Wanted], Wanted]) -> None:
        """Keep the entry of ``spec``, if there is one, valid after a change of ``file``, which had the effect ``change``.

        ``digests``: those of the file before and after. An entry that was made from another version of it stays as it is.
        """
        entry, before = self._entry(spec), (str(file), digests[0])
        if entry is not None and before in entry.inputs:
            inputs = tuple((str(file), digests[1]) if each == before else each for each in entry.inputs)
            self.put(spec, change(entry.wanted), inputs, entry.context)

    def forget(self, spec: Path) -> None:
        """Remove the entry of ``spec``, if any."""
        with suppress(OSError):
            self._file(spec).unlink()

    def _entry(self, spec: Path) -> _Entry | None:
        """The entry of ``spec``; None if there is none, or one of another version."""
        try:
            entry = msgspec.json.decode(self._file(spec).read_bytes(), type=_Entry)
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
            return None
        return entry if (entry.format, entry.tool) == (FORMAT, self._tool) else None

    def _file(self, spec: Path) -> Path:
        return self._directory / f"{sha256(os.fsencode(spec.absolute())).hexdigest()}.json"


def file_digest(path: Path) -> str:
    """Return the SHA-256 of the file, :data:`ABSENT` if it cannot be read."""
    try:
        return sha256(read_regular(path, -1)).hexdigest()
    except OSError:
        return ABSENT
