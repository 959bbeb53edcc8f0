"""One run at a time: an flock on ``.lock``, with a note inside of who holds it."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from pragmaspec.errors import Problem, StateLockedError
from pragmaspec.frozen import Frozen

_NOTE_BYTES = 4096


class Holder(Frozen, frozen=True):
    """Who holds the lock; for people, since only the kernel decides. ``since`` is RFC 3339, UTC."""

    pid: int
    user: str
    host: str
    since: str
    command: str


@contextmanager
def held(path: Path, command: str) -> Iterator[None]:
    """Hold the lock at ``path`` (made when absent) for the time of the ``with`` block; ``command`` is what others are shown.

    Raises StateLockedError at once when another process holds it. The file is never renamed or removed: two processes could
    then hold locks on two files of one name. The kernel frees the lock when the process ends, however it ends.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise _locked(path, _read(descriptor)) from None
        _write(descriptor, msgspec.json.encode(_ourselves(command)))
        try:
            yield
        finally:
            _write(descriptor, b"")
    finally:
        os.close(descriptor)


def _ourselves(command: str) -> Holder:
    import getpass  # noqa: PLC0415 - only a run that takes the lock needs to say who it is
    import socket  # noqa: PLC0415
    from datetime import UTC, datetime  # noqa: PLC0415

    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    since = datetime.now(UTC).isoformat(timespec="seconds")
    return Holder(pid=os.getpid(), user=user, host=socket.gethostname(), since=since, command=command)


def _write(descriptor: int, note: bytes) -> None:
    """Put ``note`` into the lock file. A full disk only costs others the name of the holder, so it is no error."""
    with suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, note[:_NOTE_BYTES], 0)


def _read(descriptor: int) -> Holder | None:
    try:
        return msgspec.json.decode(os.pread(descriptor, _NOTE_BYTES, 0), type=Holder)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return None


def _locked(path: Path, found: Holder | None) -> StateLockedError:
    if found is None:
        who = "Another process"
    else:
        who = f"Process {found.pid} of {found.user} on {found.host}, since {found.since}: `{found.command}`,"
    return StateLockedError(
        Problem(
            summary="Another run holds this stack",
            detail=f"{who} holds {path}. Wait until it has ended, or stop it: the lock is freed as soon as the process ends, "
            "however it ends. Nothing was changed.",
        )
    )
