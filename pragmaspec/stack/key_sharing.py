"""Exports and imports the key of a stack, as a small private file that also names the stack."""

from base64 import b64decode, b64encode
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from pragmaspec.errors import AccessError, PragmaspecError, UsageError
from pragmaspec.frozen import Frozen
from pragmaspec.state.backends.local.durable import make_private_directory, sync_directory, write_new_file
from pragmaspec.state.stack_key import key_file, load_stack_key
from pragmaspec.typing import override

KIND: Literal["pragmaspec-key"] = "pragmaspec-key"
KEY_FILE_LIMIT_BYTES = 4096


class KeyStatus(Frozen, frozen=True):
    """The public facts about a stack's key: its file and its fingerprint; None if the key is not on this machine."""

    lineage: str
    file: str
    fingerprint: str | None


class _KeyFile(msgspec.Struct, frozen=True):
    """The content of a key file. Not a Frozen value, so that it is never printed or recorded."""

    kind: Literal["pragmaspec-key"]
    format: Literal[1]
    lineage: Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")]
    key: Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{64}\Z")]

    @override
    def __repr__(self) -> str:
        return "_KeyFile(…)"


def key_status(lineage: str) -> KeyStatus:
    """Return the status of the key of stack ``lineage``. Raises AccessError if there is an unusable one."""
    path = key_file(lineage)
    return KeyStatus(lineage=lineage, file=str(path), fingerprint=_fingerprint(lineage) if path.exists() else None)


def exported_key(lineage: str) -> bytes:
    """Return a key file for stack ``lineage``: a secret. Raises AccessError if the key is not on this machine."""
    load_stack_key(lineage)  # rejects a file that others can read, or that contains no key
    try:
        key = key_file(lineage).read_text(encoding="ascii").strip()
    except OSError as error:
        raise _unusable(key_file(lineage), error) from error
    return msgspec.json.encode(_KeyFile(kind=KIND, format=1, lineage=lineage, key=key)) + b"\n"


def export_key(lineage: str, file: Path) -> None:
    """Write the key of ``lineage`` to a new private ``file``. Raises AccessError and PragmaspecError."""
    text = exported_key(lineage)
    try:
        write_new_file(file, text)
    except FileExistsError:
        raise UsageError(
            "The file already exists", f"{file} is not overwritten. Choose another file, or remove it first."
        ) from None
    except OSError as error:
        raise PragmaspecError("The key cannot be written", f"{file}: {error.strerror or error}.") from error


def import_key(text: bytes, name: str) -> tuple[KeyStatus, bool]:
    """Store the key in ``text``, and return its status and True if it is new here. ``name``: its source, for errors.

    Never replaces another key, because the nodes of the stack trust only the one that created them. Raises UsageError and
    AccessError.
    """
    try:
        shared = msgspec.json.decode(text, type=_KeyFile)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        # The invalid text is not quoted: it may contain the secret.
        raise UsageError(
            "Not a key file", f"{name} is not a file written by `pragmaspec key export`, or it is incomplete."
        ) from None
    path = key_file(shared.lineage)
    try:
        new = _store(path, shared.key)
    except OSError as error:
        raise _unusable(path, error) from error
    return key_status(shared.lineage), new


def _store(path: Path, key: str) -> bool:
    make_private_directory(path.parent)
    try:
        write_new_file(path, f"{key}\n".encode())
    except FileExistsError:
        if path.read_text(encoding="ascii", errors="replace").strip() != key:
            raise AccessError(
                "Another key exists",
                f"{path} contains a different key for the same stack, and its nodes trust only one of them. If yours is the "
                "wrong one, move it away and import again. Nothing was changed.",
            ) from None
        return False
    sync_directory(path.parent)
    return True


def _fingerprint(lineage: str) -> str:
    """The fingerprint of the login key, as shown by ``ssh-keygen -l``: base64 of the SHA-256 of its blob (RFC 4253)."""
    from pragmaspec.guest.keys import operator_key

    blob = b64decode(operator_key(load_stack_key(lineage)).public.split()[1])
    return "SHA256:" + b64encode(sha256(blob).digest()).decode().rstrip("=")


def _unusable(path: Path, error: OSError) -> AccessError:
    return AccessError("The key of this stack cannot be used", f"{path}: {error.strerror or error}.")
