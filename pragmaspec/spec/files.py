"""Reads the files that a spec consists of, and records them for change detection."""

from hashlib import sha256
from pathlib import Path

from pragmaspec.files import read_regular
from pragmaspec.spec.yaml.text import FILE_SIZE_MAX


class TrackedReader:
    """Reads files and records their digests. The digest of a file that was looked for but does not exist is ""."""

    def __init__(self) -> None:
        self._digests: dict[str, str] = {}

    @property
    def record(self) -> tuple[tuple[str, str], ...]:
        """Absolute path and SHA-256 of every requested file, sorted by path."""
        return tuple(sorted(self._digests.items()))

    def read(self, path: Path) -> bytes:
        """Return the content of a file, at most one byte more than the maximum size. Raises OSError."""
        try:
            data = read_regular(path, FILE_SIZE_MAX + 1)
        except FileNotFoundError:
            self._digests[str(path.absolute())] = ""
            raise
        self._digests[str(path.absolute())] = sha256(data).hexdigest()
        return data

    def record_digest(self, name: str, digest: str) -> None:
        """Record an input that is not a file."""
        self._digests[name] = digest

    def read_optional(self, path: Path) -> bytes | None:
        """Return the content of a file, or None if it does not exist."""
        try:
            return self.read(path)
        except (FileNotFoundError, NotADirectoryError):
            self._digests[str(path.absolute())] = ""
            return None


def resolve_path(path: str, directory: Path, home: Path) -> Path:
    """Return ``path`` relative to ``directory``, with ``~/`` expanded to ``home``."""
    if path == "~" or path.startswith("~/"):
        return home / path[2:]
    return directory / path
