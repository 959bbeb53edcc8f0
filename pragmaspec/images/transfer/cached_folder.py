"""Folders whose files are readable on this machine: a local folder directly, a remote one through a temporary cache."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Protocol

from pragmaspec.errors import ImageError
from pragmaspec.images.context import ImageContext
from pragmaspec.images.transfer.folders import Folder, check_plain_name
from pragmaspec.images.transfer.locations import open_folder
from pragmaspec.net.urls import is_remote
from pragmaspec.typing import override

CHUNK_BYTES = 2**20


class ReadableFolder(Protocol):
    """A folder whose files are readable on this machine."""

    def names(self) -> tuple[str, ...]:
        """The sorted names of its files. Raises ImageError."""
        ...

    def read_small(self, name: str) -> bytes | None:
        """The content of a small file; None if it does not exist. Raises ImageError."""
        ...

    def size(self, name: str) -> int:
        """Size of a file in bytes; downloads the file if necessary. Raises ImageError."""
        ...

    def chunks(self, name: str) -> Iterator[bytes]:
        """The content of a file in chunks of at most 1 MiB. Raises ImageError."""
        ...


class LocalReadableFolder(ReadableFolder):
    """A folder of this machine; nothing is copied."""

    def __init__(self, folder: Folder, directory: Path) -> None:
        self._folder = folder
        self._directory = directory

    @override
    def names(self) -> tuple[str, ...]:
        return files_only(self._folder.names())

    @override
    def read_small(self, name: str) -> bytes | None:
        return self._folder.read_small(name)

    @override
    def size(self, name: str) -> int:
        try:
            return self.path(name).stat().st_size
        except OSError as error:
            raise unreadable_file_error(self._directory / name, error) from None

    @override
    def chunks(self, name: str) -> Iterator[bytes]:
        yield from read_chunks(self.path(name))

    def path(self, name: str) -> Path:
        """Path of a file."""
        return self._directory / check_plain_name(name)


class CachedFolder(ReadableFolder):
    """A remote folder. Downloaded files stay in ``cache``, so that an interrupted run resumes with the file in progress."""

    def __init__(self, folder: Folder, cache: Path) -> None:
        self._folder = folder
        self._cache = cache
        self._small: dict[str, bytes | None] = {}
        self.is_downloading = False
        """True during a download, and after one that failed: the files in the cache are then worth keeping."""

    @override
    def names(self) -> tuple[str, ...]:
        return files_only(self._folder.names())

    @override
    def read_small(self, name: str) -> bytes | None:
        if name not in self._small:
            self._small[name] = self._folder.read_small(name)
        return self._small[name]

    @override
    def size(self, name: str) -> int:
        return self.path(name).stat().st_size

    @override
    def chunks(self, name: str) -> Iterator[bytes]:
        yield from read_chunks(self.path(name))

    def path(self, name: str) -> Path:
        """Path of a file in the cache; downloads the file if necessary. Raises ImageError."""
        file = self._cache / sha256(check_plain_name(name).encode()).hexdigest()
        if not file.exists():
            self._cache.mkdir(parents=True, exist_ok=True, mode=0o700)
            part = file.with_suffix(".part")
            self.is_downloading = True
            self._folder.fetch(name, part)
            self.is_downloading = False
            part.replace(file)
        return file


@contextmanager
def open_readable(address: str, context: ImageContext, key: str) -> Iterator[LocalReadableFolder | CachedFolder]:
    """Open the folder at ``address``. The caller holds the store's lock ``key``, which also names the cache.

    The cache is removed unless a download failed; the next run then resumes it.
    """
    folder = open_folder(address, context)
    if not is_remote(address):
        yield LocalReadableFolder(folder, Path(address))
        return
    cache = context.store.directory / "incoming" / f"{key}.near"
    cached = CachedFolder(folder, cache)
    try:
        yield cached
    except ImageError:
        if not cached.is_downloading:
            shutil.rmtree(cache, ignore_errors=True)
        raise
    shutil.rmtree(cache, ignore_errors=True)


def files_only(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return ``names`` without the subfolders, whose names end with a slash."""
    return tuple(name for name in names if not name.endswith("/"))


def read_chunks(file: Path) -> Iterator[bytes]:
    """Yield the content of a file in chunks of at most 1 MiB. Raises ImageError."""
    try:
        with file.open("rb") as stream:
            while chunk := stream.read(CHUNK_BYTES):
                yield chunk
    except OSError as error:
        raise unreadable_file_error(file, error) from None


def missing_file_error(name: str) -> ImageError:
    """Return the error for a required file that a folder does not have."""
    return ImageError("Part of the image is missing", f"{name} does not exist.")


def unreadable_file_error(file: Path, error: OSError) -> ImageError:
    """Return the error for a file that cannot be read."""
    if isinstance(error, FileNotFoundError):
        return missing_file_error(str(file))
    return ImageError("Image cannot be read", f"{file}: {error.strerror}.")
