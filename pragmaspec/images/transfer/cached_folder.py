"""Files of a folder that can be read here: where they are when the folder is local, else fetched and kept until all is done."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Protocol

from pragmaspec.errors import ImageError
from pragmaspec.images.context import ImageContext
from pragmaspec.images.transfer.folders import Folder, check_plain_name, open_folder
from pragmaspec.net.urls import is_remote

CHUNK_BYTES = 2**20


class ReadableFolder(Protocol):
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


class LocalReadableFolder:
    """A folder of this machine: nothing is copied."""

    def __init__(self, folder: Folder, directory: Path) -> None:
        self._folder = folder
        self._directory = directory

    def names(self) -> tuple[str, ...]:
        """See :class:`ReadableFolder`."""
        return files_only(self._folder.names())

    def small(self, name: str) -> bytes | None:
        """See :class:`ReadableFolder`."""
        return self._folder.small(name)

    def size(self, name: str) -> int:
        """See :class:`ReadableFolder`."""
        try:
            return self.path(name).stat().st_size
        except OSError as error:
            raise unreadable_file_error(self._directory / name, error) from None

    def pieces(self, name: str) -> Iterator[bytes]:
        """See :class:`ReadableFolder`."""
        yield from read_chunks(self.path(name))

    def path(self, name: str) -> Path:
        """Where the file is."""
        return self._directory / check_plain_name(name)


class CachedFolder:
    """A folder elsewhere. What was fetched stays in ``kept``, so that an interrupted run goes on with the file it was at."""

    def __init__(self, folder: Folder, kept: Path) -> None:
        self._folder = folder
        self._kept = kept
        self._small: dict[str, bytes | None] = {}
        self.fetching = False
        """Whether a file is being fetched: what is here already is good then, whatever comes of it."""

    def names(self) -> tuple[str, ...]:
        """See :class:`ReadableFolder`."""
        return files_only(self._folder.names())

    def small(self, name: str) -> bytes | None:
        """See :class:`ReadableFolder`."""
        if name not in self._small:
            self._small[name] = self._folder.small(name)
        return self._small[name]

    def size(self, name: str) -> int:
        """See :class:`ReadableFolder`."""
        return self.path(name).stat().st_size

    def pieces(self, name: str) -> Iterator[bytes]:
        """See :class:`ReadableFolder`."""
        yield from read_chunks(self.path(name))

    def path(self, name: str) -> Path:
        """Where the file is, fetched when it was not."""
        whole = self._kept / sha256(check_plain_name(name).encode()).hexdigest()
        if not whole.exists():
            self._kept.mkdir(parents=True, exist_ok=True, mode=0o700)
            part = whole.with_suffix(".part")
            self.fetching = True
            self._folder.fetch(name, part)
            self.fetching = False
            part.replace(whole)
        return whole


@contextmanager
def open_readable(address: str, workshop: ImageContext, key: str) -> Iterator[ReadableFolder]:
    """The folder at ``address``. The caller holds the store's lock ``key``, under which what is fetched is kept.

    It is thrown away when the block ends well or refuses what came. Where the fetching itself broke off, the next run goes on.
    """
    folder = open_folder(address, workshop)
    if not is_remote(address):
        yield LocalReadableFolder(folder, Path(address))
        return
    kept = workshop.store.directory / "incoming" / f"{key}.near"
    fetched = CachedFolder(folder, kept)
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


def read_chunks(file: Path) -> Iterator[bytes]:
    """A file's bytes, a MiB at a time. Raises ImageError."""
    try:
        with file.open("rb") as stream:
            while piece := stream.read(CHUNK_BYTES):
                yield piece
    except OSError as error:
        raise unreadable_file_error(file, error) from None


def missing_file_error(what: str) -> ImageError:
    """The error for a file that has to be in a folder and is not."""
    return ImageError("Part of the image is missing", f"{what} is not there.")


def unreadable_file_error(file: Path, error: OSError) -> ImageError:
    """The error for a file of a folder that cannot be read."""
    if isinstance(error, FileNotFoundError):
        return missing_file_error(str(file))
    return ImageError("Image cannot be read", f"{file}: {error.strerror}.")
