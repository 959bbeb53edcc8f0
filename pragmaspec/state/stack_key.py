"""The one secret of a stack, outside the repository: a file with 32 random bytes as 64 hexadecimal digits."""

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
    """Where the key of the stack ``lineage`` stands: ``$PRAGMASPEC_KEYS``, else ``pragmaspec/keys`` in the user's data folder."""
    folder = os.environ.get("PRAGMASPEC_KEYS")
    if folder:
        return Path(folder) / f"{lineage}.key"
    return data_home() / "pragmaspec" / "keys" / f"{lineage}.key"


def load_stack_key(lineage: str, create: bool = False) -> StackKey:
    """The key of the stack ``lineage``; a new one when it is absent and ``create`` is set.

    ``create`` only for a stack that has made nothing yet: its nodes trust keys derived from this one. Raises AccessError when
    the key is absent, is not a key, or may be read by others.
    """
    path = key_file(lineage)
    try:
        return _read(path)
    except FileNotFoundError:
        if not create:
            raise _missing(path) from None
    except OSError as error:
        if create and isinstance(error, NotADirectoryError):
            raise _unwritable(path, error.strerror or str(error)) from error
        raise _unusable(path, error.strerror or str(error)) from error
    try:
        _make(path)
    except OSError as error:
        raise _unwritable(path, error.strerror or str(error)) from error
    try:
        return _read(path)
    except OSError as error:
        raise _unusable(path, error.strerror or str(error)) from error


def _read(path: Path) -> StackKey:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    with os.fdopen(descriptor, encoding="ascii", errors="replace") as file:
        if os.fstat(descriptor).st_mode & 0o077:
            raise _unusable(path, f"others than its owner may read it; run: chmod 600 {quote(str(path))}")
        text = file.read(4096).strip()
    if not _TEXT.fullmatch(text):
        raise _unusable(
            path, f"it does not hold {2 * STACK_KEY_BYTES} hexadecimal digits; put back the original from a colleague"
        )
    return StackKey(bytes.fromhex(text))


def _make(path: Path) -> None:
    """Put a new key at ``path``, unless another process is quicker: then its key stands."""
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
        f"{path} is missing. The nodes of this stack trust keys that are derived from it, so a new one cannot take "
        "its place. Copy it from the machine or colleague that made the stack (it is a secret: use ssh, keep its mode 0600), "
        "or set PRAGMASPEC_KEYS to the folder that holds it.",
    )


def _unusable(path: Path, why: str) -> AccessError:
    return AccessError("The key of this stack cannot be used", f"{path}: {why}.")


def _unwritable(path: Path, why: str) -> AccessError:
    detail = f"{path} cannot be written: {why}. Set PRAGMASPEC_KEYS or XDG_DATA_HOME to a folder of yours that lasts."
    return AccessError("The key of this stack cannot be used", detail)
