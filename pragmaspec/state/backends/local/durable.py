"""Files that are either the old or the new one after any crash, never something in between."""

import errno
import os
from contextlib import suppress
from pathlib import Path

from pragmaspec.errors import StateUnwritableError
from pragmaspec.failpoints import reach
from pragmaspec.state.backends.local.disk import OS_DISK, Disk


def replace_file(path: Path, data: bytes, mode: int = 0o600, disk: Disk = OS_DISK) -> None:
    """Put ``data`` into ``path`` atomically and durably: temporary file, fsync, rename, fsync of the folder. Raises OSError."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with suppress(FileNotFoundError):
        disk.unlink(temporary)  # left by a killed process that had our number
    try:
        write_new_file(temporary, data, mode, disk)
        reach("store.replace.rename")
        disk.rename(temporary, path)
        reach("store.replace.sync")
    except OSError:
        with suppress(OSError):
            disk.unlink(temporary)
        raise
    disk.fsync_folder(path.parent)


def write_new_file(path: Path, data: bytes, mode: int = 0o600, disk: Disk = OS_DISK) -> None:
    """Write ``data`` to ``path``, which must not exist, and sync it. Raises OSError."""
    handle = disk.create(path, mode)
    try:
        write_all(disk, handle, data, 0)
        disk.fsync(handle)
    finally:
        disk.close(handle)


def write_all(disk: Disk, handle: int, data: bytes, offset: int) -> None:
    """Write all of ``data`` at ``offset``, in as many writes as the kernel wants. Raises OSError."""
    view = memoryview(data)
    while view:
        written = disk.pwrite(handle, view, offset)
        view, offset = view[written:], offset + written


def sync_directory(path: Path) -> None:
    """Make the names in ``path`` durable. Raises OSError."""
    OS_DISK.fsync_folder(path)


def make_private_directory(path: Path, disk: Disk = OS_DISK) -> None:
    """Make ``path``, with its parents, durably and for its owner only. Tightens one that others may enter. Raises OSError."""
    try:
        made = disk.mkdir(path)
    except FileNotFoundError:
        if path.parent == path:
            raise
        make_private_directory(path.parent, disk)
        made = disk.mkdir(path)
    if made:
        try:
            disk.fsync_folder(path.parent)
        except OSError:
            with suppress(OSError):
                disk.rmdir(path)  # nobody shall find it and take it for durable
            raise


def sync_parents(path: Path, disk: Disk = OS_DISK) -> None:
    """Make the names of ``path`` and of the folders above it durable, as far as they may be opened. Raises OSError."""
    for parent in path.parents:
        with suppress(PermissionError):
            disk.fsync_folder(parent)


def not_a_file(error: OSError) -> str:
    """What stands where a file has to be, as the beginning of a sentence; empty: ``error`` is about something else."""
    if isinstance(error, IsADirectoryError):
        return f"{error.filename} is a folder and not a file"
    if error.errno == errno.ELOOP:
        return f"{error.filename} is a symbolic link, and none is followed here"
    return ""


def unwritable_error(place: Path | str, why: OSError | str) -> StateUnwritableError:
    """The error for a state that cannot be written at ``place``."""
    other = not_a_file(why) if isinstance(why, OSError) else ""
    if other:
        detail = f"{other}. Move it away, then run the command again. Nothing was changed."
        return StateUnwritableError("The state cannot be written", detail)
    words = why if isinstance(why, str) else why.strerror or str(why)
    return StateUnwritableError(
        "The state cannot be written",
        f"{place}: {words}. Nothing more is started, because it could not be recorded. Make room or repair the disk, "
        "then run the command again: it continues where this one stopped.",
    )
