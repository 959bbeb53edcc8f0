"""Files of a folder that can be read here: where they are when the folder is local, else fetched and kept until all is done."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Protocol

from pragmaspec.errors import ImageError
from pragmaspec.images.sources.base import Workshop
from pragmaspec.images.transfer.folders import Folder, open_folder, plain
from pragmaspec.net.urls import is_remote

PIECE_BYTES = 2**20


class Near(Protocol):
    """A folder whose files can be read."""

    def names(self) -> tuple[str, ...]:
        """The names of its files, sorted. Raises ImageError."""
        ...

    def small(self, name: str) -> bytes | None:
        """A short file whole; None when it is not there. Raises ImageError."""
        ...

    def size(self, name: str) -> int:
        """The length of a file in bytes; it is here then. Raises ImageError."""
        ...

    def pieces(self, name: str) -> Iterator[bytes]:
        """The bytes of a file, in order, a MiB at a time. Raises ImageError."""
        ...


class LocalNear:
    """A folder of this machine: nothing is copied."""

    def __init__(self, folder: Folder, directory: Path) -> None:
        self._folder = folder
        self._directory = directory

    def names(self) -> tuple[str, ...]:
        """See :class:`Near`."""
        return files_only(self._folder.names())

    def small(self, name: str) -> bytes | None:
        """See :class:`Near`."""
        return self._folder.small(name)

    def size(self, name: str) -> int:
        """See :class:`Near`."""
        try:
            return self.path(name).stat().st_size
        except OSError as error:
            raise unreadable(self._directory / name, error) from None

    def pieces(self, name: str) -> Iterator[bytes]:
        """See :class:`Near`."""
        yield from pieces_of(self.path(name))

    def path(self, name: str) -> Path:
        """Where the file is."""
        return self._directory / plain(name)


class FetchedNear:
    """A folder elsewhere. What was fetched stays in ``kept``, so that an interrupted run goes on with the file it was at."""

    def __init__(self, folder: Folder, kept: Path) -> None:
        self._folder = folder
        self._kept = kept
        self._small: dict[str, bytes | None] = {}
        self.fetching = False
        """Whether a file is being fetched: what is here already is good then, whatever comes of it."""

    def names(self) -> tuple[str, ...]:
        """See :class:`Near`."""
        return files_only(self._folder.names())

    def small(self, name: str) -> bytes | None:
        """See :class:`Near`."""
        if name not in self._small:
            self._small[name] = self._folder.small(name)
        return self._small[name]

    def size(self, name: str) -> int:
        """See :class:`Near`."""
        return self.path(name).stat().st_size

    def pieces(self, name: str) -> Iterator[bytes]:
        """See :class:`Near`."""
        yield from pieces_of(self.path(name))

    def path(self, name: str) -> Path:
        """Where the file is, fetched when it was not."""
        whole = self._kept / sha256(plain(name).encode()).hexdigest()
        if not whole.exists():
            self._kept.mkdir(parents=True, exist_ok=True, mode=0o700)
            part = whole.with_suffix(".part")
            self.fetching = True
            self._folder.fetch(name, part)
            self.fetching = False
            part.replace(whole)
        return whole


@contextmanager
def near(address: str, workshop: Workshop, key: str) -> Iterator[Near]:
    """The folder at ``address``. The caller holds the store's lock ``key``, under which what is fetched is kept.

    It is thrown away when the block ends well or refuses what came. Where the fetching itself broke off, the next run goes on.
    """
    folder = open_folder(address, workshop)
    if not is_remote(address):
        yield LocalNear(folder, Path(address))
        return
    kept = workshop.store.directory / "incoming" / f"{key}.near"
    fetched = FetchedNear(folder, kept)
    try:
        yield fetched
    except ImageError:
        if not fetched.fetching:
            shutil.rmtree(kept, ignore_errors=True)
        raise
    shutil.rmtree(kept, ignore_errors=True)


def files_only(names: tuple[str, ...]) -> tuple[str, ...]:
    """Without the folders, whose names end with a slash."""
    return tuple(name for name in names if not name.endswith("/"))


def pieces_of(file: Path) -> Iterator[bytes]:
    """A file's bytes, a MiB at a time. Raises ImageError."""
    try:
        with file.open("rb") as stream:
            while piece := stream.read(PIECE_BYTES):
                yield piece
    except OSError as error:
        raise unreadable(file, error) from None


def missing(what: str) -> ImageError:
    """The error for a file that has to be in a folder and is not."""
    return ImageError("Part of the image is missing", f"{what} is not there.")


def unreadable(file: Path, error: OSError) -> ImageError:
    """The error for a file of a folder that cannot be read."""
    if isinstance(error, FileNotFoundError):
        return missing(str(file))
    return ImageError("Image cannot be read", f"{file}: {error.strerror}.")
