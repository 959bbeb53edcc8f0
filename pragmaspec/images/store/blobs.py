"""Files by content: ``<store>/sha256/<hex>``, read-only, whole or not there at all; shared by all stacks of a user.

A full file system in words for people.
"""

import errno
import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from hashlib import sha256
from pathlib import Path

from pragmaspec.errors import ImageError
from pragmaspec.failpoints import reach
from pragmaspec.resources import Blob

CHUNK_BYTES = 4 * 2**20
READ_BYTES = 2**20
READ_ONLY = 0o444
ProgressCallback = Callable[[int, int], None]
"""Progress: bytes done, bytes in all."""


class BlobStore:
    """A directory of files named by their SHA-256. Several processes may use it at once."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._unwritten: dict[Path, bytes] = {}

    @property
    def incoming(self) -> Path:
        """Where files are before they are whole and looked at. Private."""
        return self.directory / "incoming"

    def path(self, digest: str) -> Path:
        """Where the file with this SHA-256 stands, or would."""
        return self.directory / "sha256" / digest

    def has(self, blob: Blob) -> bool:
        """Whether the file is there, whole. What was published is not read again."""
        try:
            return self.path(blob.sha256).stat().st_size == blob.size_bytes
        except OSError:
            return False

    def part(self, name: str) -> Path:
        """The file that will become a blob, in the same file system; the holder of ``locked(name)`` may write it."""
        self._make(self.incoming, 0o700)
        return self.incoming / f"{name}.part"

    @contextmanager
    def locked(self, name: str) -> Iterator[None]:
        """Hold the lock called ``name``: of several processes that want one image, one works and the others wait for it."""
        directory = self.directory / "locks"
        self._make(directory)
        try:
            opened = (directory / name).open("w")
        except OSError as error:
            raise self._unwritable(error) from None
        with opened as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _make(self, directory: Path, mode: int = 0o777) -> None:
        """Make a folder of the store. Raises ImageError, with what to set, when that cannot be."""
        try:
            directory.mkdir(parents=True, exist_ok=True, mode=mode)
        except OSError as error:
            raise self._unwritable(error) from None

    def _unwritable(self, error: OSError) -> ImageError:
        reason = (error.strerror or str(error))[:1].lower() + (error.strerror or str(error))[1:]
        detail = (
            f"{self.directory}, where images are kept on this machine, cannot be written: {reason}. "
            "Set PRAGMASPEC_IMAGES or XDG_CACHE_HOME to a folder that can."
        )
        return ImageError("Images cannot be kept", detail)

    def remember(self, file: Path, content: bytes) -> None:
        """Keep what only saves time, for other processes too where the store can be written."""
        try:
            write_atomically(file, content)
        except OSError:
            self._unwritten[file] = content

    @property
    def lasting(self) -> bool:
        """True if every remembered file was written, so that other processes can read it."""
        return not self._unwritten

    def recall(self, file: Path) -> bytes:
        """The content remembered as ``file``. Raises OSError if there is none."""
        return self._unwritten[file] if file in self._unwritten else file.read_bytes()

    def remembered(self, directory: Path) -> list[Path]:
        """The names of what is remembered in ``directory``."""
        return sorted({*directory.glob("*.json"), *(file for file in self._unwritten if file.parent == directory)})

    def exclusive(self) -> AbstractContextManager[None]:
        """Nothing gets a final name meanwhile."""
        return self._together(fcntl.LOCK_EX)

    @contextmanager
    def _together(self, how: int) -> Iterator[None]:
        self._make(self.directory)
        handle = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(handle, how)
            yield
        finally:
            os.close(handle)

    @contextmanager
    def scratch(self, name: str) -> Iterator[Path]:
        """An empty directory that is gone afterwards; the holder of ``locked(name)`` may use it."""
        directory = self.incoming / f"{name}.work"
        shutil.rmtree(directory, ignore_errors=True)
        self._make(self.incoming, 0o700)
        self._make(directory, 0o700)
        try:
            yield directory
        finally:
            shutil.rmtree(directory, ignore_errors=True)

    @contextmanager
    def aside(self, name: str) -> Iterator[Path]:
        """An empty directory of this process alone, that is gone afterwards."""
        own = f"{name}-{os.getpid()}"
        with self.locked(own), self.scratch(own) as directory:
            yield directory
        (self.directory / "locks" / own).unlink(missing_ok=True)

    def publish(self, part: Path, digest: str) -> Blob:
        """Give the complete file ``part``, whose SHA-256 the caller has made sure of, its final name."""
        final = self.path(digest)
        self._make(final.parent)
        reach("images.publish.sync")
        fsync_path(part)
        part.chmod(READ_ONLY)
        blob = Blob(sha256=digest, size_bytes=part.stat().st_size)
        with self._together(fcntl.LOCK_SH):
            reach("images.publish.rename")
            part.replace(final)
            reach("images.publish.renamed")
        fsync_path(final.parent)
        return blob

    def adopt(self, file: Path) -> Blob:
        """Move a complete file of the store's own file system in, under the digest of its content."""
        return self.publish(file, file_sha256(file))

    def check_space(self, wanted_bytes: int, name: str) -> None:
        """Raises ImageError when the store's file system cannot take ``wanted_bytes`` more."""
        self._make(self.directory)
        free = shutil.disk_usage(self.directory).free
        if free < wanted_bytes:
            raise ImageError(
                "No room for the image",
                f"{name} needs {wanted_bytes // 2**20} MiB and {self.directory} has {free // 2**20} MiB left. "
                "Free some space, or set PRAGMASPEC_IMAGES to a directory that has it.",
            )


def file_sha256(file: Path, counted: ProgressCallback | None = None) -> str:
    """The SHA-256 of a file, as lower-case hexadecimal digits."""
    digest, done, chunk = sha256(), 0, memoryview(bytearray(READ_BYTES))
    with file.open("rb", buffering=0) as stream:
        total = os.fstat(stream.fileno()).st_size
        # Not beyond the length it had: a file that grows all the time would never end.
        while read := stream.readinto(chunk[: min(READ_BYTES, total - done)]):
            digest.update(chunk[:read])
            done += read
            if counted:
                counted(done, total)
    return digest.hexdigest()


def write_atomically(file: Path, content: bytes, mode: int = 0o600) -> None:
    """Write a small file so that a reader sees the old content or the new, never a part."""
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f".{file.name}.{os.getpid()}.part")
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(file)
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def fsync_path(path: Path) -> None:
    """See to it that what was written to a file, or a directory, is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@contextmanager
def disk_full_as_error(store: BlobStore, name: str) -> Iterator[None]:
    """Work on the image ``name`` that may fill the store's file system: that becomes an ImageError."""
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        detail = (
            f"{store.directory} is full ({error.strerror}), before {name} was whole. Free some space, or set PRAGMASPEC_IMAGES "
            "to a directory that has it."
        )
        raise ImageError("No room for the image", detail) from None
