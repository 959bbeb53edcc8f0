"""Durable, atomic file writes: after a crash a file has its old content or its new one."""

import errno
import os
from contextlib import suppress
from pathlib import Path

from pragmaspec.errors import StateUnwritableError
from pragmaspec.failpoints import reach
from pragmaspec.state.backends.local.disk import OS_DISK, StateDisk


def replace_file(path: Path, data: bytes, mode: int = 0o600, disk: StateDisk = OS_DISK) -> None:
    """Replace ``path`` atomically and durably: temporary file, fsync, rename, fsync of the directory. Raises OSError."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with suppress(FileNotFoundError):
        disk.unlink(temporary)  # left by a killed process with the same process ID
    try:
        write_new_file(temporary, data, mode, disk)
        reach("store.replace.rename")
        disk.rename(temporary, path)
        reach("store.replace.sync")
    except OSError:
        with suppress(OSError):
            disk.unlink(temporary)
        raise
    disk.fsync_directory(path.parent)


def write_new_file(path: Path, data: bytes, mode: int = 0o600, disk: StateDisk = OS_DISK) -> None:
    """Create ``path``, write ``data`` to it and sync it. Raises OSError, also if the file exists."""
    handle = disk.create(path, mode)
    try:
        write_all(disk, handle, data, 0)
        disk.fsync(handle)
    finally:
        disk.close(handle)


def write_all(disk: StateDisk, handle: int, data: bytes, offset: int) -> None:
    """Write all of ``data`` at ``offset``, continuing after short writes. Raises OSError."""
    view = memoryview(data)
    while view:
        written = disk.pwrite(handle, view, offset)
        view, offset = view[written:], offset + written


def sync_directory(path: Path) -> None:
    """Make the names in ``path`` durable. Raises OSError."""
    OS_DISK.fsync_directory(path)


def make_private_directory(path: Path, disk: StateDisk = OS_DISK) -> None:
    """Create ``path`` and its parents durably, for their owner only; tighten the mode of an existing one. Raises OSError."""
    try:
        made = disk.mkdir(path)
    except FileNotFoundError:
        if path.parent == path:
            raise
        make_private_directory(path.parent, disk)
        made = disk.mkdir(path)
    if made:
        try:
            disk.fsync_directory(path.parent)
        except OSError:
            with suppress(OSError):
                disk.rmdir(path)  # a later run would take it for durable
            raise


def sync_parents(path: Path, disk: StateDisk = OS_DISK) -> None:
    """Make the names of ``path`` and of its parents durable, as far as they may be opened. Raises OSError."""
    for parent in path.parents:
        with suppress(PermissionError):
            disk.fsync_directory(parent)


def not_a_file(error: OSError) -> str:
    """Return that a directory or a symbolic link is in the place of a file; empty if ``error`` has another cause."""
    if isinstance(error, IsADirectoryError):
        return f"{error.filename} is a directory and not a file"
    if error.errno == errno.ELOOP:
        return f"{error.filename} is a symbolic link, and links are not followed here"
    return ""


def unwritable_error(place: Path | str, reason: OSError | str) -> StateUnwritableError:
    """Return the error for a state that cannot be written at ``place``."""
    summary = "The state cannot be written"
    if isinstance(reason, OSError) and (wrong_type := not_a_file(reason)):
        return StateUnwritableError(summary, f"{wrong_type}. Move it away, then repeat the command. Nothing was changed.")
    words = reason if isinstance(reason, str) else reason.strerror or str(reason)
    return StateUnwritableError(
        summary,
        f"{place}: {words}. Nothing more is started, because it could not be recorded. Free some space or repair the disk, "
        "then repeat the command: it continues where this run stopped.",
    )
