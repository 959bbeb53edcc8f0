"""One run at a time: an flock on ``.lock``. The file contains a note of the holder, for display only; the kernel decides."""

import os
import time
from contextlib import suppress
from pathlib import Path

import msgspec

from pragmaspec.errors import StateLockedError
from pragmaspec.state.backends.base import LockHolder
from pragmaspec.state.backends.local.disk import StateDisk

_NOTE_BYTES = 4096
_ATTEMPTS = 3
_PAUSE_S = 0.02
"""Longer than :func:`lock_holder` of another process holds the lock while it probes it."""


class FileLock:
    """The lock at ``path`` (created if absent), held until :meth:`release`.

    The constructor raises StateLockedError if another process holds it, and OSError. The file is never renamed or removed: two
    processes could then hold locks on two files of one name. The kernel frees the lock when the process ends.
    """

    def __init__(self, disk: StateDisk, path: Path, holder: LockHolder) -> None:
        self._disk = disk
        self._path = path
        self._handle = _acquire(disk, path)
        self._write_note(msgspec.json.encode(holder))

    @property
    def intact(self) -> bool:
        """True unless the locked file was removed or replaced."""
        return self._disk.same_file(self._handle, self._path)

    def release(self) -> None:
        """Release the lock."""
        self._write_note(b"")
        with suppress(OSError):
            self._disk.close(self._handle)

    def _write_note(self, text: bytes) -> None:
        with suppress(OSError):  # on a full disk others merely cannot name the holder
            self._disk.truncate(self._handle)
            if text:
                self._disk.pwrite(self._handle, text[:_NOTE_BYTES], 0)


def lock_holder(disk: StateDisk, path: Path) -> LockHolder | None:
    """Return the holder of the lock at ``path``, None if it is free. Creates nothing."""
    found = _read_note(disk, path)
    if found is None:
        return None
    try:
        handle = disk.flock(path)
    except BlockingIOError:
        return _read_note(disk, path) or found
    except OSError:
        return None
    disk.close(handle)  # a killed holder left its note
    return None


def this_process(command: str) -> LockHolder:
    """Return a holder, with a new ``id``, that describes this process."""
    import getpass  # noqa: PLC0415 - needed only by a run that takes the lock
    import secrets  # noqa: PLC0415
    import socket  # noqa: PLC0415
    from datetime import UTC, datetime  # noqa: PLC0415

    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    since = datetime.now(UTC).isoformat(timespec="seconds")
    lock_id = secrets.token_hex(8)
    return LockHolder(pid=os.getpid(), user=user, host=socket.gethostname(), since=since, command=command, id=lock_id)


def locked_error(place: Path | str, holder: LockHolder | None) -> StateLockedError:
    """Return the error for a stack that ``holder`` has locked; None for a holder that left no note."""
    if holder is None:
        process = "Another process"
    else:
        process = f"Process {holder.pid} of {holder.user} on {holder.host}, since {holder.since}: `{holder.command}`,"
    return StateLockedError(
        "Another run holds this stack",
        f"{process} holds {place}. Wait until it has ended, or stop it: the lock is freed as soon as the process ends. Nothing "
        "was changed.",
    )


def _acquire(disk: StateDisk, path: Path) -> int:
    for left in reversed(range(_ATTEMPTS)):
        try:
            return disk.flock(path)
        except BlockingIOError:
            if not left:
                raise locked_error(path, _read_note(disk, path)) from None
            time.sleep(_PAUSE_S)
    raise AssertionError


def _read_note(disk: StateDisk, path: Path) -> LockHolder | None:
    try:
        return msgspec.json.decode(disk.read(path)[:_NOTE_BYTES], type=LockHolder)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return None
