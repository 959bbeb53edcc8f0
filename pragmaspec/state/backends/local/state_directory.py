"""The files of a local state directory."""

import re
from pathlib import Path

from pragmaspec.state.backends.local.disk import StateDisk

_JOURNAL = re.compile(r"journal\.(\d+)\.jsonl")
_BACKUP = re.compile(r"state\.(\d+)\.json")


class StateDirectory:
    """Names and paths of the files in the directory ``path`` on ``disk``."""

    def __init__(self, path: Path, disk: StateDisk) -> None:
        self.path = path
        self.disk = disk
        self.snapshot = path / "state.json"
        self.lock = path / ".lock"
        self.backup_directory = path / "backups"

    def journal(self, serial: int) -> Path:
        """Return the path of the journal that extends snapshot ``serial``."""
        return self.path / f"journal.{serial}.jsonl"

    def journals(self) -> dict[int, Path]:
        """Return the journals by the serial of the snapshot that each extends, in order. Raises OSError."""
        return self._numbered(self.path, _JOURNAL)

    def backup(self, serial: int) -> Path:
        """Return the path of the backup of snapshot ``serial``."""
        return self.backup_directory / f"state.{serial}.json"

    def backups(self) -> dict[int, Path]:
        """Return the backups by serial, in order. Raises OSError."""
        return self._numbered(self.backup_directory, _BACKUP)

    def _numbered(self, folder: Path, pattern: re.Pattern[str]) -> dict[int, Path]:
        try:
            names = self.disk.listdir(folder)
        except (FileNotFoundError, NotADirectoryError):
            return {}
        found = {int(match[1]): folder / name for name in names if (match := pattern.fullmatch(name))}
        return dict(sorted(found.items()))
