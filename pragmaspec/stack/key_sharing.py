"""Giving the stack's key to a colleague: a small private file that says which stack it is for."""

from base64 import b64decode, b64encode
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from pragmaspec.errors import AccessError, PragmaspecError, Problem, UsageError
from pragmaspec.frozen import Frozen
from pragmaspec.state.backends.local.durable import make_private_directory, sync_directory, write_new_file
from pragmaspec.state.stack_key import key_file, load_stack_key

KIND: Literal["pragmaspec-key"] = "pragmaspec-key"
KEY_FILE_LIMIT_BYTES = 4096


class KeyStatus(Frozen, frozen=True):
    """What may be said of a stack's key: where it stands, and its public fingerprint; None when it is not on this machine."""

    lineage: str
    file: str
    fingerprint: str | None


class _Shared(msgspec.Struct, frozen=True):
    """What is given to a colleague. Not a Frozen value, so that nothing prints or records it."""

    kind: Literal["pragmaspec-key"]
    format: Literal[1]
    lineage: Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")]
    key: Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{64}\Z")]

    def __repr__(self) -> str:
        return "_Shared(…)"


def key_status(lineage: str) -> KeyStatus:
    """What is known of the key of the stack ``lineage``. Raises AccessError when there is one that cannot be used."""
    path = key_file(lineage)
    return KeyStatus(lineage=lineage, file=str(path), fingerprint=_fingerprint(lineage) if path.exists() else None)


def exported_key(lineage: str) -> bytes:
    """The text that gives the key of ``lineage`` to somebody else: a secret. Raises AccessError when it is not here."""
    load_stack_key(lineage)  # refuses a file that others can read, or that holds no key
    try:
        key = key_file(lineage).read_text(encoding="ascii").strip()
    except OSError as error:
        raise _unusable(key_file(lineage), error) from error
    return msgspec.json.encode(_Shared(kind=KIND, format=1, lineage=lineage, key=key)) + b"\n"


def export_key(lineage: str, file: Path) -> None:
    """Put the key of ``lineage`` into ``file``, new and for its owner only. Raises AccessError and PragmaspecError."""
    text = exported_key(lineage)
    try:
        write_new_file(file, text)
    except FileExistsError:
        raise UsageError(
            "The file is there already", f"{file} is not written over. Name another one, or remove it first."
        ) from None
    except OSError as error:
        problem = Problem(summary="The key cannot be written", detail=f"{file}: {error.strerror or error}.")
        raise PragmaspecError.of([problem]) from error


def import_key(text: bytes, name: str) -> tuple[KeyStatus, bool]:
    """Keep the key that a colleague gave as ``text`` (from ``name``, for errors); whether it is new here.

    Never replaces another key: the nodes of the stack trust the one that made them. Raises UsageError and AccessError.
    """
    try:
        shared = msgspec.json.decode(text, type=_Shared)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        # What is wrong is not quoted: it may hold the secret.
        raise UsageError(
            "This is no key", f"{name} is not what `pragmaspec key export` writes; perhaps it was cut off."
        ) from None
    path = key_file(shared.lineage)
    try:
        new = _keep(path, shared.key)
    except OSError as error:
        raise _unusable(path, error) from error
    return key_status(shared.lineage), new


def _keep(path: Path, key: str) -> bool:
    make_private_directory(path.parent)
    try:
        write_new_file(path, f"{key}\n".encode())
    except FileExistsError:
        if path.read_text(encoding="ascii", errors="replace").strip() != key:
            raise AccessError(
                "There is another key already",
                f"{path} holds a key for the same stack that is not this one, and only one of them can be what its "
                "nodes trust. If yours is wrong, move it away and import again. Nothing was changed.",
            ) from None
        return False
    sync_directory(path.parent)
    return True


def _fingerprint(lineage: str) -> str:
    """Of the key that pragmaspec logs in with, as ``ssh-keygen -l`` shows it: base64 of the SHA-256 of its blob (RFC 4253)."""
    from pragmaspec.guest.keys import operator_key

    blob = b64decode(operator_key(load_stack_key(lineage)).public.split()[1])
    return "SHA256:" + b64encode(sha256(blob).digest()).decode().rstrip("=")


def _unusable(path: Path, error: OSError) -> AccessError:
    return AccessError("The key of this stack cannot be used", f"{path}: {error.strerror or error}.")
