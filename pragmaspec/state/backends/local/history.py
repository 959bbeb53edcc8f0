"""The snapshots that a local folder keeps: who they are, what they say, and how one more is kept."""

import errno
import re
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pragmaspec.errors import UsageError
from pragmaspec.state.backends.base import StateVersion
from pragmaspec.state.backends.local.durable import make_private_directory, unwritable_error, write_new_file
from pragmaspec.state.snapshot import serial_of
from pragmaspec.state_model import STATE_FORMAT

_OURS = re.compile(r"\.lock|state\.json|state\.\d+(\.format\d+)?\.json|(journal|spill)\.\d+\.jsonl|spill\.\d+\.old|\..*\.tmp")

_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)
"""What a file system answers on which a file has one name, or can have no more."""

if TYPE_CHECKING:
    from pragmaspec.state.backends.local.backend import LocalBackend


def back_up_current(ground: "LocalBackend", serial: int | None, number: int | None) -> None:
    """Give the snapshot that stands a second name in ``backups``, unless one of its ``serial`` is kept, which we wrote.

    ``serial`` and ``number``, its format, are what it says of itself, None when it is too damaged for that. Raises OSError.
    """
    make_private_directory(ground.backups, ground.disk)
    if serial is None:
        return
    with suppress(FileExistsError):
        _second(ground, ground.backups / f"state.{serial}.json")
    if number not in (None, STATE_FORMAT):  # it is about to be upgraded, and is kept for ever
        with suppress(FileExistsError):
            _second(ground, ground.backups / f"state.{serial}.format{number}.json")


def back_up_written(ground: "LocalBackend", serial: int, count: int) -> None:
    """Give the snapshot that was just written a second name, and forget all but the newest ``count``. Raises OSError."""
    path = ground.backups / f"state.{serial}.json"
    with suppress(FileNotFoundError):
        ground.disk.unlink(path)  # of a history that was given up, by going back to an older state
    _second(ground, path)
    for old in list(ground.kept().values())[:-count]:
        ground.disk.unlink(old)


def list_versions(ground: "LocalBackend") -> tuple[StateVersion, ...]:
    """The snapshots that are kept, newest first; the one that stands is the first."""
    standing = serial_of(ground.disk.read(ground.file)) if ground.disk.stamp(ground.file) else None
    found = {serial: _version(ground, serial, path) for serial, path in ground.kept().items()}
    if standing is not None:
        found[standing] = _version(ground, standing, ground.file)
    order = sorted(found, key=lambda serial: (serial == standing, serial), reverse=True)
    return tuple(found[serial] for serial in order)


def read_version(ground: "LocalBackend", serial: int) -> bytes:
    """The text of the kept snapshot ``serial``. Raises UsageError when there is none."""
    try:
        return ground.disk.read(ground.backups / f"state.{serial}.json")
    except FileNotFoundError:
        pass
    known = ", ".join(str(each) for each in ground.kept())
    raise UsageError(
        "There is no such version of the state",
        f"{ground.backups} does not hold serial {serial}. " + (f"It holds: {known}." if known else "It holds none."),
    )


def remove_all(ground: "LocalBackend") -> None:
    """Remove everything of the state; what is not of it stays, and the folder with it. Raises StateUnwritableError."""
    disk = ground.disk
    try:
        for folder in (ground.backups, ground.directory):
            if disk.stamp(folder) is None:
                continue
            for name in disk.listdir(folder):
                if _OURS.fullmatch(name):
                    disk.unlink(folder / name)
            with suppress(OSError):  # somebody else keeps something in it
                disk.rmdir(folder)
    except OSError as error:
        raise unwritable_error(ground.directory, error) from error


def _second(ground: "LocalBackend", path: Path) -> None:
    """Make ``path`` another name of the snapshot that stands, or a copy where no file can have two. Raises FileExistsError."""
    try:
        ground.disk.link(ground.file, path)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        write_new_file(path, ground.disk.read(ground.file), disk=ground.disk)


def _version(ground: "LocalBackend", serial: int, path: Path) -> StateVersion:
    stamp = ground.disk.stamp(path)
    seconds = stamp.modified_ns / 1e9 if stamp else 0.0
    written = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
    return StateVersion(serial=serial, written=written, size_bytes=stamp.size_bytes if stamp else 0)
