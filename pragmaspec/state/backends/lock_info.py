"""The lock info of Terraform, in which servers store the holder of a lock, so that other tools can display it."""

import re
from importlib.metadata import PackageNotFoundError, version

import msgspec

from pragmaspec.errors import StateLockedError, UsageError
from pragmaspec.frozen import Frozen
from pragmaspec.state.backends.base import LockHolder

_MAX_CHARACTERS = 200
_INFO = re.compile(r"process (\d+): (.*)", re.DOTALL)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069]+")


class _TerraformLockInfo(msgspec.Struct, rename="pascal", omit_defaults=False):
    """The seven fields, in Terraform's names and order (``statemgr.LockInfo``). GitLab requires all of them."""

    id: str = msgspec.field(name="ID", default="")
    operation: str = ""
    info: str = ""
    who: str = ""
    version: str = ""
    created: str = ""
    path: str = ""


class LockInfo(Frozen, frozen=True):
    """The holder that a lock info names; ``readable`` is False for text in another format."""

    holder: LockHolder
    readable: bool = True


def encode_lock_info(holder: LockHolder) -> bytes:
    """Return the lock info of ``holder`` as JSON."""
    return msgspec.json.encode(
        _TerraformLockInfo(
            id=holder.id,
            operation="OperationTypeApply",
            info=f"process {holder.pid}: {holder.command}",
            who=f"{holder.user}@{holder.host}",
            version=_version(),
            created=holder.since,
        )
    )


def forced_unlock_body(lock_id: str) -> bytes:
    """Return the body of a forced unlock: a lock info with only the ID, empty without one."""
    return msgspec.json.encode(_TerraformLockInfo(id=lock_id)) if lock_id else b""


def decode_lock_info(data: bytes) -> LockInfo:
    """Return the holder in ``data``. Never fails: unreadable text becomes the holder's command, shortened."""
    try:
        found = msgspec.json.decode(data, type=_TerraformLockInfo)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        found = _TerraformLockInfo()
    if not found.id:
        text = data[: 4 * _MAX_CHARACTERS].decode("utf-8", "replace")
        return LockInfo(holder=LockHolder(pid=0, user="", host="", since="", command=_printable(text)), readable=False)
    user, _, host = found.who.rpartition("@")
    match = _INFO.fullmatch(found.info)
    holder = LockHolder(
        pid=int(match[1][:10]) if match else 0,
        user=_printable(user),
        host=_printable(host),
        since=_printable(found.created),
        command=_printable(match[2] if match else found.info or found.operation),
        id=_printable(found.id),
    )
    return LockInfo(holder=holder)


def locked_error(title: str, lock: LockInfo, advice: str) -> StateLockedError:
    """Return the error that names the holder of the lock on the state ``title``."""
    holder = lock.holder
    if not lock.readable:
        reported = f", with the note: {holder.command}" if holder.command else " without naming the holder"
        fact = f"The server reports that {title} is locked{reported}."
    else:
        process = f"process {holder.pid} of " if holder.pid else ""
        name = f"{process}{holder.user}@{holder.host}"
        fact = f"{title} is locked by {name}, since {holder.since}: `{holder.command}` (ID {holder.id})."
    return StateLockedError("Another run holds this stack", f"{fact} {advice} Nothing was changed.")


def no_such_lock_error(title: str, holder: LockHolder | None) -> UsageError:
    """Return the error for breaking a lock other than that of ``holder``; None if the state is not locked."""
    current = f"it is locked by ID {holder.id or '(not reported)'}" if holder else "it is not locked"
    return UsageError("There is no such lock", f"{title}: {current}. Nothing was changed.")


def _version() -> str:
    try:
        return version("pragmaspec")
    except PackageNotFoundError:  # run from a source tree that was never installed
        return "0"


def _printable(text: str) -> str:
    """Return ``text`` fit for a terminal: one line without control characters, shortened."""
    return _CONTROL.sub(" ", text).strip()[:_MAX_CHARACTERS]
