"""The key file of a stack, its only secret, outside the repository: 32 random bytes as 64 hexadecimal digits."""

import os
import re
import secrets
from contextlib import suppress
from pathlib import Path
from shlex import quote

from pragmaspec.errors import AccessError
from pragmaspec.guest.keys import STACK_KEY_BYTES, StackKey
from pragmaspec.paths import data_home
from pragmaspec.state.backends.local.durable import make_private_directory, sync_directory, write_new_file

_TEXT = re.compile(rf"[0-9a-f]{{{2 * STACK_KEY_BYTES}}}")


def key_file(lineage: str) -> Path:
    """Return the path of the key of the stack ``lineage``.

    The directory is ``$PRAGMASPEC_KEYS``, by default ``pragmaspec/keys`` in the user's data directory.
    """
    folder = os.environ.get("PRAGMASPEC_KEYS")
    if folder:
        return Path(folder) / f"{lineage}.key"
    return data_home() / "pragmaspec" / "keys" / f"{lineage}.key"


def load_stack_key(lineage: str, create: bool = False) -> StackKey:
    """Return the key of the stack ``lineage``; if it is absent and ``create`` is set, create one.

    ``create`` is only for a stack without objects: the nodes of any other trust keys derived from the existing one. Raises
    AccessError if the key is absent, invalid, or readable by other users.
    """
    path = key_file(lineage)
    try:
        return _read(path)
    except FileNotFoundError:
        if not create:
            raise _missing(path) from None
    except OSError as error:
        if create and isinstance(error, NotADirectoryError):
            raise _unwritable(path, error) from error
        raise _unusable(path, error.strerror or str(error)) from error
    try:
        _create(path)
    except OSError as error:
        raise _unwritable(path, error) from error
    try:
        return _read(path)
    except OSError as error:
        raise _unusable(path, error.strerror or str(error)) from error


def _read(path: Path) -> StackKey:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    with os.fdopen(descriptor, encoding="ascii", errors="replace") as file:
        if os.fstat(descriptor).st_mode & 0o077:
            raise _unusable(path, f"other users may read it; run: chmod 600 {quote(str(path))}")
        text = file.read(4096).strip()
    if not _TEXT.fullmatch(text):
        reason = f"it does not consist of {2 * STACK_KEY_BYTES} hexadecimal digits; get the original from a colleague"
        raise _unusable(path, reason)
    return StackKey(bytes.fromhex(text))


def _create(path: Path) -> None:
    """Write a new key to ``path``, unless another process does so first: then its key is used."""
    make_private_directory(path.parent)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        write_new_file(temporary, f"{secrets.token_hex(STACK_KEY_BYTES)}\n".encode())
        with suppress(FileExistsError):
            os.link(temporary, path)
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()
    sync_directory(path.parent)


def _missing(path: Path) -> AccessError:
    return AccessError(
        "The key of this stack is not on this machine",
        f"{path} is missing. The nodes of this stack trust keys derived from it, so a new one cannot replace it. Copy it from "
        "the machine or colleague that created the stack (it is a secret: use ssh, keep its mode 0600), or set PRAGMASPEC_KEYS "
        "to the directory that contains it.",
    )


def _unusable(path: Path, reason: str) -> AccessError:
    return AccessError("The key of this stack cannot be used", f"{path}: {reason}.")


def _unwritable(path: Path, error: OSError) -> AccessError:
    return AccessError(
        "The key of this stack cannot be used",
        f"{path} cannot be written: {error.strerror or error}. Set PRAGMASPEC_KEYS or XDG_DATA_HOME to a persistent directory of "
        "yours.",
    )
