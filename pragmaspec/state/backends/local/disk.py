"""The few file operations that the state's safety rests on: so tests run the very same code on a disk that fails or crashes."""

import fcntl
import os
from pathlib import Path
from typing import NamedTuple, Protocol

from pragmaspec.state.backends.local.folder_trust import distrusted, filesystem_warnings


class FileStamp(NamedTuple):
    """What changes when a file is replaced or written."""

    inode: int
    modified_ns: int
    size_bytes: int


class Disk(Protocol):
    """A disk as POSIX promises it: nothing is durable before its sync. Every method raises OSError like the call of its name."""

    def read(self, path: Path) -> bytes:
        """The whole file. A symbolic link is not followed."""
        ...

    def listdir(self, folder: Path) -> list[str]:
        """The names in ``folder``, in no order."""
        ...

    def stamp(self, path: Path) -> FileStamp | None:
        """What tells whether ``path`` was replaced; None when it is not there."""
        ...

    def mkdir(self, folder: Path) -> bool:
        """Make ``folder`` in one that is there, for its owner only; False: it was there already, and is tightened."""
        ...

    def create(self, path: Path, mode: int = 0o600) -> int:
        """A handle to write the new file ``path`` with. Raises FileExistsError."""
        ...

    def pwrite(self, handle: int, data: bytes | memoryview, offset: int) -> int:
        """How many bytes of ``data`` were written at ``offset``."""
        ...

    def fallocate(self, handle: int, size: int) -> None:
        """Set room aside, so that the first ``size`` bytes can be written on a full disk. They read as zeros."""
        ...

    def fdatasync(self, handle: int) -> None:
        """Make what was written durable. After an error never again on this handle: the kernel reports lost pages once."""
        ...

    def fsync(self, handle: int) -> None:
        """As :meth:`fdatasync`, and everything about the file."""
        ...

    def close(self, handle: int) -> None:
        """Let go of a handle."""
        ...

    def rename(self, old: Path, new: Path) -> None:
        """Put ``old`` in the place of ``new``; whoever looks sees one or the other."""
        ...

    def link(self, existing: Path, new: Path) -> None:
        """A second name for a file. Raises FileExistsError."""
        ...

    def unlink(self, path: Path) -> None:
        """Remove a name."""
        ...

    def rmdir(self, folder: Path) -> None:
        """Remove an empty folder."""
        ...

    def fsync_folder(self, folder: Path) -> None:
        """Make the names in ``folder`` durable."""
        ...

    def flock(self, path: Path) -> int:
        """A handle that holds the lock of ``path``, made when absent. Raises BlockingIOError when another process holds it."""
        ...

    def same_file(self, handle: int, path: Path) -> bool:
        """Whether ``path`` is still the file behind ``handle``."""
        ...

    def truncate(self, handle: int) -> None:
        """Empty the file."""
        ...

    def unsafe_reason(self, folder: Path) -> str:
        """Why a state must not be kept in ``folder``, in full sentences; empty: nothing speaks against it."""
        ...

    def warnings(self, folder: Path) -> tuple[str, ...]:
        """What is not as safe as it should be with ``folder``, in full sentences."""
        ...


class OsDisk:
    """The real disk."""

    def read(self, path: Path) -> bytes:
        """The whole file."""
        with open(path, "rb", buffering=0, opener=_without_following) as file:
            return file.readall()

    def listdir(self, folder: Path) -> list[str]:
        """The names in it."""
        return [path.name for path in folder.iterdir()]

    def stamp(self, path: Path) -> FileStamp | None:
        """Inode, time and length."""
        try:
            found = os.lstat(path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        return FileStamp(found.st_ino, found.st_mtime_ns, found.st_size)

    def mkdir(self, folder: Path) -> bool:
        """Mode 0700."""
        try:
            folder.mkdir(mode=0o700)
        except FileExistsError:
            if not folder.is_dir():
                raise
            if folder.stat().st_mode & 0o077:
                folder.chmod(0o700)
            return False
        return True

    def create(self, path: Path, mode: int = 0o600) -> int:
        """Open with O_EXCL."""
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, mode)

    def pwrite(self, handle: int, data: bytes | memoryview, offset: int) -> int:
        """One write."""
        return os.pwrite(handle, data, offset)

    def fallocate(self, handle: int, size: int) -> None:
        """From the first byte on."""
        os.posix_fallocate(handle, 0, size)

    def fdatasync(self, handle: int) -> None:
        """The data."""
        os.fdatasync(handle)

    def fsync(self, handle: int) -> None:
        """Data and inode."""
        os.fsync(handle)

    def close(self, handle: int) -> None:
        """A lock that hangs on it is free then."""
        os.close(handle)

    def rename(self, old: Path, new: Path) -> None:
        """Atomically."""
        old.replace(new)

    def link(self, existing: Path, new: Path) -> None:
        """A hard link."""
        os.link(existing, new)

    def unlink(self, path: Path) -> None:
        """The name only."""
        path.unlink()

    def rmdir(self, folder: Path) -> None:
        """When it is empty."""
        folder.rmdir()

    def fsync_folder(self, folder: Path) -> None:
        """The names."""
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def flock(self, path: Path) -> int:
        """A lock of the open file: the kernel frees it when the process ends, however it ends."""
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            raise
        return descriptor

    def same_file(self, handle: int, path: Path) -> bool:
        """By device and inode."""
        try:
            found = os.lstat(path)
        except (FileNotFoundError, NotADirectoryError):
            return False
        ours = os.fstat(handle)
        return (found.st_dev, found.st_ino) == (ours.st_dev, ours.st_ino)

    def truncate(self, handle: int) -> None:
        """To nothing."""
        os.ftruncate(handle, 0)

    def unsafe_reason(self, folder: Path) -> str:
        """Others may write to it, or it is elsewhere."""
        return distrusted(folder)

    def warnings(self, folder: Path) -> tuple[str, ...]:
        """A file system of another machine."""
        return filesystem_warnings(folder)


def _without_following(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW)


OS_DISK = OsDisk()
"""It has nothing of its own, so one is enough."""
