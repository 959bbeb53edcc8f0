"""Reading the files that a spec consists of, with a record of every one, also of those looked for in vain."""

from hashlib import sha256
from pathlib import Path

from pragmaspec.spec.characters import SIZE_MAX
from pragmaspec.spec.regular import read_regular


class FilesRead:
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
            data = read_regular(path, SIZE_MAX + 1)
        except FileNotFoundError:
            self._digests[str(path.absolute())] = ""
            raise
        self._digests[str(path.absolute())] = sha256(data).hexdigest()
        return data

    def note(self, name: str, digest: str) -> None:
        """Record something that is no file and was read all the same."""
        self._digests[name] = digest

    def read_if_there(self, path: Path) -> bytes | None:
        """The file's bytes; None when there is no such file."""
        try:
            return self.read(path)
        except (FileNotFoundError, NotADirectoryError):
            self._digests[str(path.absolute())] = ""
            return None


def located(path: str, directory: Path, home: Path) -> Path:
    """Where ``path`` of a spec in ``directory`` is: relative to it, ``~/`` being ``home``."""
    if path == "~" or path.startswith("~/"):
        return home / path[2:]
    return directory / path
