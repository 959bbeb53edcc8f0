"""Content-addressed storage: ``<store>/sha256/<hex>``, read-only and complete, shared by all stacks of a user."""

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

READ_BYTES = 2**20
READ_ONLY = 0o444
ProgressCallback = Callable[[int, int], None]
"""Called with the bytes done and the total."""


class BlobStore:
    """A directory of files named by their SHA-256. Safe for concurrent processes."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._unwritten: dict[Path, bytes] = {}

    @property
    def incoming(self) -> Path:
        """The private directory of files that are incomplete or not yet inspected."""
        return self.directory / "incoming"

    def path(self, digest: str) -> Path:
        """Return the path of the file with this SHA-256, whether it exists or not."""
        return self.directory / "sha256" / digest

    def has(self, blob: Blob) -> bool:
        """True if the file exists with the right size. Published files are not hashed again."""
        try:
            return self.path(blob.sha256).stat().st_size == blob.size_bytes
        except OSError:
            return False

    def part(self, name: str) -> Path:
        """Return the partial file of a future blob, in the same file system. Only the holder of ``locked(name)`` may write it."""
        self._make(self.incoming, 0o700)
        return self.incoming / f"{name}.part"

    @contextmanager
    def locked(self, name: str) -> Iterator[None]:
        """Hold the lock ``name``, so that one of several processes makes an image, and the others wait for it."""
        directory = self.directory / "locks"
        self._make(directory)
        try:
            lock = (directory / name).open("w")
        except OSError as error:
            raise self._unwritable(error) from None
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _make(self, directory: Path, mode: int = 0o777) -> None:
        """Create a directory of the store. Raises ImageError, with the variables to set, if that fails."""
        try:
            directory.mkdir(parents=True, exist_ok=True, mode=mode)
        except OSError as error:
            raise self._unwritable(error) from None

    def _unwritable(self, error: OSError) -> ImageError:
        reason = (error.strerror or str(error))[:1].lower() + (error.strerror or str(error))[1:]
        detail = (
            f"{self.directory}, the image store of this machine, cannot be written: {reason}. "
            "Set PRAGMASPEC_IMAGES or XDG_CACHE_HOME to a writable folder."
        )
        return ImageError("The image store is not writable", detail)

    def remember(self, file: Path, content: bytes) -> None:
        """Write a cache file; keep it in memory if the store is not writable."""
        try:
            write_atomically(file, content)
        except OSError:
            self._unwritten[file] = content

    @property
    def lasting(self) -> bool:
        """True if all cache files were written, so that other processes can read them."""
        return not self._unwritten

    def recall(self, file: Path) -> bytes:
        """Return the content of a cache file. Raises OSError if there is none."""
        return self._unwritten[file] if file in self._unwritten else file.read_bytes()

    def remembered(self, directory: Path) -> list[Path]:
        """Return the cache files in ``directory``."""
        return sorted({*directory.glob("*.json"), *(file for file in self._unwritten if file.parent == directory)})

    def exclusive(self) -> AbstractContextManager[None]:
        """Block all publishing meanwhile."""
        return self._publish_lock(fcntl.LOCK_EX)

    @contextmanager
    def _publish_lock(self, how: int) -> Iterator[None]:
        self._make(self.directory)
        handle = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(handle, how)
            yield
        finally:
            os.close(handle)

    @contextmanager
    def scratch(self, name: str) -> Iterator[Path]:
        """Create an empty directory for the holder of ``locked(name)``, and remove it afterwards."""
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
        """Create an empty directory for this process alone, and remove it afterwards."""
        own = f"{name}-{os.getpid()}"
        with self.locked(own), self.scratch(own) as directory:
            yield directory
        (self.directory / "locks" / own).unlink(missing_ok=True)

    def publish(self, part: Path, digest: str) -> Blob:
        """Give the complete file ``part``, whose SHA-256 the caller has verified, its final name."""
        final = self.path(digest)
        self._make(final.parent)
        reach("images.publish.sync")
        fsync_path(part)
        part.chmod(READ_ONLY)
        blob = Blob(sha256=digest, size_bytes=part.stat().st_size)
        with self._publish_lock(fcntl.LOCK_SH):
            reach("images.publish.rename")
            part.replace(final)
            reach("images.publish.renamed")
        fsync_path(final.parent)
        return blob

    def adopt(self, file: Path) -> Blob:
        """Move a complete file from the same file system into the store, named by its digest."""
        return self.publish(file, file_sha256(file))

    def check_space(self, wanted_bytes: int, name: str) -> None:
        """Raises ImageError if the store's file system has less than ``wanted_bytes`` of free space."""
        self._make(self.directory)
        free = shutil.disk_usage(self.directory).free
        if free < wanted_bytes:
            raise ImageError(
                "Not enough disk space for the image",
                f"{name} needs {wanted_bytes // 2**20} MiB, but {self.directory} has {free // 2**20} MiB left. "
                "Free some space, or set PRAGMASPEC_IMAGES to a directory that has it.",
            )


def file_sha256(file: Path, progress: ProgressCallback | None = None) -> str:
    """Return the SHA-256 of a file, as lower-case hexadecimal digits."""
    digest, done, chunk = sha256(), 0, memoryview(bytearray(READ_BYTES))
    with file.open("rb", buffering=0) as stream:
        total = os.fstat(stream.fileno()).st_size
        # Up to the initial length only: a file that keeps growing would never end.
        while read := stream.readinto(chunk[: min(READ_BYTES, total - done)]):
            digest.update(chunk[:read])
            done += read
            if progress:
                progress(done, total)
    return digest.hexdigest()


def write_atomically(file: Path, content: bytes, mode: int = 0o600) -> None:
    """Write a small file atomically: a reader sees the old content or the new."""
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
    """Flush a file or directory to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@contextmanager
def disk_full_as_error(store: BlobStore, name: str) -> Iterator[None]:
    """Turn ENOSPC and similar errors while working on the image ``name`` into an ImageError."""
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        detail = (
            f"{store.directory} was full ({error.strerror}) before {name} was complete. Free some space, or set "
            "PRAGMASPEC_IMAGES to a directory that has it."
        )
        raise ImageError("Not enough disk space for the image", detail) from None
