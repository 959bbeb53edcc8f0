"""One run at a time: an flock on ``.lock``, with a note inside of who holds it. The note is for people: the kernel decides."""

import os
import time
from contextlib import suppress
from pathlib import Path

import msgspec

from pragmaspec.errors import StateLockedError
from pragmaspec.state.backends.base import LockHolder
from pragmaspec.state.backends.local.disk import Disk

_NOTE_BYTES = 4096
_TRIES = 3
_BETWEEN_S = 0.02
"""Somebody who only looks whether a dead holder's lock is free holds it for less than this."""


class FileLock:
    """The lock at ``path`` (made when absent), held until :meth:`release`.

    Raises StateLockedError when another process holds it, and OSError. The file is never renamed or removed: two processes could
    then hold locks on two files of one name. The kernel frees the lock when the process ends, however it ends.
    """

    def __init__(self, disk: Disk, path: Path, holder: LockHolder) -> None:
        self._disk = disk
        self._path = path
        self._handle = _taken(disk, path)
        self._note(msgspec.json.encode(holder))

    @property
    def intact(self) -> bool:
        """Whether the file is still the one that is locked: not when somebody removed or replaced it."""
        return self._disk.same_file(self._handle, self._path)

    def release(self) -> None:
        """Give it back."""
        self._note(b"")
        with suppress(OSError):
            self._disk.close(self._handle)

    def _note(self, text: bytes) -> None:
        """A full disk only costs others the name of the holder, so it is no error."""
        with suppress(OSError):
            self._disk.truncate(self._handle)
            if text:
                self._disk.pwrite(self._handle, text[:_NOTE_BYTES], 0)


def lock_holder(disk: Disk, path: Path) -> LockHolder | None:
    """Who holds the lock at ``path``; None when nobody does. Creates nothing."""
    found = _noted(disk, path)
    if found is None:
        return None
    try:
        handle = disk.flock(path)
    except BlockingIOError:
        return _noted(disk, path) or found
    except OSError:
        return None
    disk.close(handle)  # a killed holder left its note
    return None


def this_process(command: str) -> LockHolder:
    """A holder with a new ``id`` that says who this process is."""
    import getpass  # noqa: PLC0415 - only a run that takes the lock needs to say who it is
    import secrets  # noqa: PLC0415
    import socket  # noqa: PLC0415
    from datetime import UTC, datetime  # noqa: PLC0415

    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    since = datetime.now(UTC).isoformat(timespec="seconds")
    name = secrets.token_hex(8)
    return LockHolder(pid=os.getpid(), user=user, host=socket.gethostname(), since=since, command=command, id=name)


def locked_error(place: Path | str, found: LockHolder | None) -> StateLockedError:
    """The error for a stack that ``found`` holds; None when it left no name."""
    if found is None:
        who = "Another process"
    else:
        who = f"Process {found.pid} of {found.user} on {found.host}, since {found.since}: `{found.command}`,"
    return StateLockedError(
        "Another run holds this stack",
        f"{who} holds {place}. Wait until it has ended, or stop it: the lock is freed as soon as the process ends, "
        "however it ends. Nothing was changed.",
    )


def _taken(disk: Disk, path: Path) -> int:
    for left in reversed(range(_TRIES)):
        try:
            return disk.flock(path)
        except BlockingIOError:
            if not left:
                raise locked_error(path, _noted(disk, path)) from None
            time.sleep(_BETWEEN_S)
    raise AssertionError


def _noted(disk: Disk, path: Path) -> LockHolder | None:
    try:
        return msgspec.json.decode(disk.read(path)[:_NOTE_BYTES], type=LockHolder)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return None
