"""Backups of the snapshots of a local state directory."""

import errno
import re
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from pragmaspec.errors import UsageError
from pragmaspec.state.backends.base import StateVersion
from pragmaspec.state.backends.local.durable import make_private_directory, unwritable_error, write_new_file
from pragmaspec.state.backends.local.state_directory import StateDirectory
from pragmaspec.state.snapshot import serial_of
from pragmaspec.state_model import STATE_FORMAT

_OWN_FILES = re.compile(
    r"\.lock|state\.json|state\.\d+(\.format\d+)?\.json|(journal|spill)\.\d+\.jsonl|spill\.\d+\.old|\..*\.tmp"
)

_NO_HARD_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)
"""Errors of a file system without hard links, or for a file that can have no more of them."""


def back_up_current(files: StateDirectory, serial: int | None, format_number: int | None) -> None:
    """Back up the current snapshot unless there is a backup of its ``serial``, which this program wrote. Raises OSError.

    ``serial`` and ``format_number`` are those that the snapshot contains; None if it is too damaged for that.
    """
    make_private_directory(files.backup_directory, files.disk)
    if serial is None:
        return
    with suppress(FileExistsError):
        _link_or_copy(files, files.backup(serial))
    if format_number not in (None, STATE_FORMAT):  # about to be upgraded: this backup is never removed
        with suppress(FileExistsError):
            _link_or_copy(files, files.backup_directory / f"state.{serial}.format{format_number}.json")


def back_up_written(files: StateDirectory, serial: int, count: int) -> None:
    """Back up the snapshot just written, and remove all but the newest ``count`` backups. Raises OSError."""
    with suppress(FileNotFoundError):
        files.disk.unlink(files.backup(serial))  # of a history that was abandoned by going back to an older state
    _link_or_copy(files, files.backup(serial))
    for old in list(files.backups().values())[:-count]:
        files.disk.unlink(old)


def list_versions(files: StateDirectory) -> tuple[StateVersion, ...]:
    """Return the current snapshot and the backups, newest first. Raises OSError."""
    current = serial_of(files.disk.read(files.snapshot)) if files.disk.stamp(files.snapshot) else None
    paths = files.backups()
    if current is not None:
        paths[current] = files.snapshot
    order = sorted(paths, key=lambda serial: (serial == current, serial), reverse=True)
    return tuple(_version(files, serial, paths[serial]) for serial in order)


def read_version(files: StateDirectory, serial: int) -> bytes:
    """Return the text of the backup of snapshot ``serial``. Raises UsageError if there is none."""
    try:
        return files.disk.read(files.backup(serial))
    except FileNotFoundError:
        known = ", ".join(str(each) for each in files.backups())
        raise UsageError(
            "There is no such version of the state",
            f"{files.backup_directory} does not contain serial {serial}. "
            + (f"It contains: {known}." if known else "It is empty."),
        ) from None


def remove_state(files: StateDirectory) -> None:
    """Remove all files of the state. Other files stay, and their directory with them. Raises StateUnwritableError."""
    disk = files.disk
    try:
        for folder in (files.backup_directory, files.path):
            if disk.stamp(folder) is None:
                continue
            for name in disk.listdir(folder):
                if _OWN_FILES.fullmatch(name):
                    disk.unlink(folder / name)
            with suppress(OSError):  # other files are left in it
                disk.rmdir(folder)
    except OSError as error:
        raise unwritable_error(files.path, error) from error


def _link_or_copy(files: StateDirectory, path: Path) -> None:
    """Hard-link the current snapshot to ``path``, or copy it where links are not supported. Raises FileExistsError."""
    try:
        files.disk.link(files.snapshot, path)
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise
        write_new_file(path, files.disk.read(files.snapshot), disk=files.disk)


def _version(files: StateDirectory, serial: int, path: Path) -> StateVersion:
    stamp = files.disk.stamp(path)
    seconds = stamp.modified_ns / 1e9 if stamp else 0.0
    written = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
    return StateVersion(serial=serial, written=written, size_bytes=stamp.size_bytes if stamp else 0)
