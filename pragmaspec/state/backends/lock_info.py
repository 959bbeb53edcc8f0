"""What a lock on a server says about its holder: Terraform's lock info, so that other tools can show it. Pure."""

import re
from importlib.metadata import PackageNotFoundError, version

import msgspec

from pragmaspec.errors import StateLockedError
from pragmaspec.frozen import Frozen
from pragmaspec.state.backends.base import LockHolder

_SHOWN_CHARACTERS = 200
_INFO = re.compile(r"process (\d+): (.*)", re.DOTALL)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069]+")


class _LockInfo(msgspec.Struct, rename="pascal", omit_defaults=False):
    """The seven fields, in Terraform's names and order (``statemgr.LockInfo``); GitLab requires every one of them."""

    id: str = msgspec.field(name="ID", default="")
    operation: str = ""
    info: str = ""
    who: str = ""
    version: str = ""
    created: str = ""
    path: str = ""


class LockInfo(Frozen, frozen=True):
    """A holder as found; ``readable`` is False for a note that somebody else wrote in another form."""

    holder: LockHolder
    readable: bool = True


def encode_lock_info(holder: LockHolder) -> bytes:
    """The lock info of ``holder``, as JSON."""
    return msgspec.json.encode(
        _LockInfo(
            id=holder.id,
            operation="OperationTypeApply",
            info=f"process {holder.pid}: {holder.command}",
            who=f"{holder.user}@{holder.host}",
            version=_version(),
            created=holder.since,
        )
    )


def forced_unlock_body(lock_id: str) -> bytes:
    """A lock info with nothing but the ID, as a forced unlock sends it; nothing at all without one."""
    return msgspec.json.encode(_LockInfo(id=lock_id)) if lock_id else b""


def decode_lock_info(data: bytes) -> LockInfo:
    """Who holds the lock. Never fails: what cannot be read is kept as its own words, shortened."""
    try:
        found = msgspec.json.decode(data, type=_LockInfo)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        found = _LockInfo()
    if not found.id:
        raw = data[: 4 * _SHOWN_CHARACTERS].decode("utf-8", "replace")
        return LockInfo(holder=LockHolder(pid=0, user="", host="", since="", command=_shown(raw)), readable=False)
    user, _, host = found.who.rpartition("@")
    match = _INFO.fullmatch(found.info)
    holder = LockHolder(
        pid=int(match[1][:10]) if match else 0,
        user=_shown(user),
        host=_shown(host),
        since=_shown(found.created),
        command=_shown(match[2] if match else found.info or found.operation),
        id=_shown(found.id),
    )
    return LockInfo(holder=holder)


def locked_error(title: str, note: LockInfo, way_out: str) -> StateLockedError:
    """The error that names who holds the state ``title``."""
    holder = note.holder
    if not note.readable:
        words = f", and says of it: {holder.command}" if holder.command else " and does not say by whom"
        who = f"The server says that {title} is locked{words}."
    else:
        process = f"process {holder.pid} of " if holder.pid else ""
        whose = f"{process}{holder.user}@{holder.host}"
        who = f"{title} is locked by {whose}, since {holder.since}: `{holder.command}` (ID {holder.id})."
    return StateLockedError("Another run holds this stack", f"{who} {way_out} Nothing was changed.")


def _version() -> str:
    try:
        return version("pragmaspec")
    except PackageNotFoundError:  # run from a source tree that was never installed
        return "0"


def _shown(text: str) -> str:
    """``text`` fit for a terminal: in one line, without control characters, not too long."""
    return _CONTROL.sub(" ", text).strip()[:_SHOWN_CHARACTERS]
