"""The file operations on which the safety of the state rests, so that tests can run the same code on a disk that fails."""

import fcntl
import os
from pathlib import Path
from typing import NamedTuple, Protocol

from pragmaspec.state.backends.local.folder_trust import filesystem_warnings, unsafe_reason
from pragmaspec.typing import override


class FileStamp(NamedTuple):
    """The attributes of a file that change when it is replaced or written."""

    inode: int
    modified_ns: int
    size_bytes: int


class StateDisk(Protocol):
    """A disk as POSIX specifies it: nothing is durable before its sync.

    Every method raises OSError like the system call of its name.
    """

    def read(self, path: Path) -> bytes:
        """Return the whole file. Does not follow a symbolic link."""
        ...

    def listdir(self, folder: Path) -> list[str]:
        """Return the names in ``folder``, in no particular order."""
        ...

    def stamp(self, path: Path) -> FileStamp | None:
        """Return the stamp of ``path``, None if it is absent."""
        ...

    def mkdir(self, folder: Path) -> bool:
        """Create ``folder``, for its owner only, in an existing directory.

        Returns False if it exists already; its mode is tightened then.
        """
        ...

    def create(self, path: Path, mode: int = 0o600) -> int:
        """Create ``path`` and return a handle to write to it. Raises FileExistsError."""
        ...

    def pwrite(self, handle: int, data: bytes | memoryview, offset: int) -> int:
        """Write ``data`` at ``offset`` and return the number of bytes written."""
        ...

    def fallocate(self, handle: int, size: int) -> None:
        """Reserve the first ``size`` bytes, so that they can be written on a full disk. They read as zeros."""
        ...

    def fdatasync(self, handle: int) -> None:
        """Make the data durable. Never repeat this on a handle after an error: the kernel reports lost pages once."""
        ...

    def fsync(self, handle: int) -> None:
        """Make the data and the inode durable; for errors see :meth:`fdatasync`."""
        ...

    def close(self, handle: int) -> None:
        """Close a handle, and release the lock it holds."""
        ...

    def rename(self, old: Path, new: Path) -> None:
        """Rename ``old`` to ``new`` atomically, replacing it."""
        ...

    def link(self, existing: Path, new: Path) -> None:
        """Create a hard link. Raises FileExistsError."""
        ...

    def unlink(self, path: Path) -> None:
        """Remove a name."""
        ...

    def rmdir(self, folder: Path) -> None:
        """Remove an empty directory."""
        ...

    def fsync_directory(self, folder: Path) -> None:
        """Make the names in ``folder`` durable."""
        ...

    def flock(self, path: Path) -> int:
        """Return a handle that holds the lock of ``path``, which is created if it is absent.

        The kernel frees the lock when the process ends. Raises BlockingIOError if another process holds it.
        """
        ...

    def same_file(self, handle: int, path: Path) -> bool:
        """True if ``path`` still is the file behind ``handle``."""
        ...

    def truncate(self, handle: int) -> None:
        """Make the file empty."""
        ...

    def unsafe_reason(self, folder: Path) -> str:
        """Return why ``folder`` must not hold a state, in full sentences; empty if it may."""
        ...

    def warnings(self, folder: Path) -> tuple[str, ...]:
        """Return the risks of ``folder``, in full sentences."""
        ...


class OsDisk(StateDisk):
    """The disk of this machine."""

    @override
    def read(self, path: Path) -> bytes:
        with open(path, "rb", buffering=0, opener=_open_no_follow) as file:
            return file.readall()

    @override
    def listdir(self, folder: Path) -> list[str]:
        return [path.name for path in folder.iterdir()]

    @override
    def stamp(self, path: Path) -> FileStamp | None:
        try:
            found = os.lstat(path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        return FileStamp(found.st_ino, found.st_mtime_ns, found.st_size)

    @override
    def mkdir(self, folder: Path) -> bool:
        try:
            folder.mkdir(mode=0o700)
        except FileExistsError:
            if not folder.is_dir():
                raise
            if folder.stat().st_mode & 0o077:
                folder.chmod(0o700)
            return False
        return True

    @override
    def create(self, path: Path, mode: int = 0o600) -> int:
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, mode)

    @override
    def pwrite(self, handle: int, data: bytes | memoryview, offset: int) -> int:
        return os.pwrite(handle, data, offset)

    @override
    def fallocate(self, handle: int, size: int) -> None:
        os.posix_fallocate(handle, 0, size)

    @override
    def fdatasync(self, handle: int) -> None:
        os.fdatasync(handle)

    @override
    def fsync(self, handle: int) -> None:
        os.fsync(handle)

    @override
    def close(self, handle: int) -> None:
        os.close(handle)

    @override
    def rename(self, old: Path, new: Path) -> None:
        old.replace(new)

    @override
    def link(self, existing: Path, new: Path) -> None:
        os.link(existing, new)

    @override
    def unlink(self, path: Path) -> None:
        path.unlink()

    @override
    def rmdir(self, folder: Path) -> None:
        folder.rmdir()

    @override
    def fsync_directory(self, folder: Path) -> None:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    @override
    def flock(self, path: Path) -> int:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            raise
        return descriptor

    @override
    def same_file(self, handle: int, path: Path) -> bool:
        try:
            found = os.lstat(path)
        except (FileNotFoundError, NotADirectoryError):
            return False
        ours = os.fstat(handle)
        return (found.st_dev, found.st_ino) == (ours.st_dev, ours.st_ino)

    @override
    def truncate(self, handle: int) -> None:
        os.ftruncate(handle, 0)

    @override
    def unsafe_reason(self, folder: Path) -> str:
        return unsafe_reason(folder)

    @override
    def warnings(self, folder: Path) -> tuple[str, ...]:
        return filesystem_warnings(folder)


def _open_no_follow(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW)


OS_DISK = OsDisk()
"""The one instance that is needed: it has no attributes."""
