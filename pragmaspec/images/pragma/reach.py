"""Files of a repository by their relative paths: its folders are opened when they are first needed."""

from pathlib import Path

from pragmaspec.images.folder import Folder, open_folder
from pragmaspec.images.sources.base import Workshop


class Reach:
    """The repository in the folder at ``address``."""

    def __init__(self, address: str, workshop: Workshop) -> None:
        self._address = address
        self._workshop = workshop
        self._folders: dict[str, Folder] = {}

    def small(self, path: str) -> bytes | None:
        """A short file whole; None when it is not there. Raises ImageError."""
        folder, name = self._folder(path)
        return folder.small(name)

    def fetch(self, path: str, part: Path) -> None:
        """Bring a file to ``part``, continuing what was begun there. Raises ImageError."""
        folder, name = self._folder(path)
        folder.fetch(name, part)

    def _folder(self, path: str) -> tuple[Folder, str]:
        below, _, name = path.rpartition("/")
        if below not in self._folders:
            base, mark, query = self._address.partition("?")
            address = f"{base.rstrip('/')}/{below}" if below else base
            self._folders[below] = open_folder(f"{address}{mark}{query}", self._workshop)
        return self._folders[below], name
