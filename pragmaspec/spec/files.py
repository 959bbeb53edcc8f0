"""Reading the files that a spec consists of, with a record of every one, also of those looked for in vain.

The bytes of a file that a person named: of a regular one, never more than asked for, and without waiting for a writer.
"""

import errno
import os
import stat
from hashlib import sha256
from pathlib import Path

from pragmaspec.spec.yaml.text import FILE_SIZE_MAX


class NotRegularFileError(OSError):
    """There is something else than a regular file; ``strerror`` says what."""


_KINDS = {stat.S_IFDIR: "a directory", stat.S_IFIFO: "a pipe"}


def read_regular(path: Path, most_bytes: int) -> bytes:
    """The first ``most_bytes`` of the file at most; all of it for -1.

    Raises OSError; NotRegularError for what would be waited for, such as a pipe, or may never end, such as a device.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    try:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            kind = _KINDS.get(stat.S_IFMT(mode), "a device")
            raise NotRegularFileError(errno.EINVAL, f"it is {kind}, not a regular file", str(path))
        with open(descriptor, "rb", closefd=False) as file:
            return file.read(most_bytes)
    finally:
        os.close(descriptor)


class TrackedReader:
    """Reads files and remembers their digests. A digest of "" means: looked for, and not there."""

    def __init__(self) -> None:
        self._digests: dict[str, str] = {}

    @property
    def record(self) -> tuple[tuple[str, str], ...]:
        """Absolute path and SHA-256 of every file asked for, sorted by path."""
        return tuple(sorted(self._digests.items()))

    def read(self, path: Path) -> bytes:
        """The file's bytes, at most one more than a file may have. Raises OSError with a reason for people."""
        try:
            data = read_regular(path, FILE_SIZE_MAX + 1)
        except FileNotFoundError:
            self._digests[str(path.absolute())] = ""
            raise
        self._digests[str(path.absolute())] = sha256(data).hexdigest()
        return data

    def note(self, name: str, digest: str) -> None:
        """Record something that is no file and was read all the same."""
        self._digests[name] = digest

    def read_optional(self, path: Path) -> bytes | None:
        """The file's bytes; None when there is no such file."""
        try:
            return self.read(path)
        except (FileNotFoundError, NotADirectoryError):
            self._digests[str(path.absolute())] = ""
            return None


def resolve_path(path: str, directory: Path, home: Path) -> Path:
    """Where ``path`` of a spec in ``directory`` is: relative to it, ``~/`` being ``home``."""
    if path == "~" or path.startswith("~/"):
        return home / path[2:]
    return directory / path
