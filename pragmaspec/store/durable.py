"""Files that are either the old or the new one after any crash, never something in between."""

import os
from contextlib import suppress
from pathlib import Path

from pragmaspec.errors import PragmaspecError, Problem


def replace_file(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Put ``data`` into ``path`` atomically and durably: temporary file, fsync, rename, fsync of the folder. Raises OSError."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with suppress(FileNotFoundError):
        temporary.unlink()  # left by a killed process that had our number
    try:
        write_new(temporary, data, mode)
        temporary.rename(path)
    except OSError:
        with suppress(OSError):
            temporary.unlink()
        raise
    sync_directory(path.parent)


def write_new(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Write ``data`` to ``path``, which must not exist, and sync it. Raises OSError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(descriptor)


def sync_directory(path: Path) -> None:
    """Make the names in ``path`` durable. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def private_directory(path: Path) -> None:
    """Make ``path``, with its parents, for its owner only. Tightens one that others may enter. Raises OSError."""
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    if path.stat().st_mode & 0o077:
        path.chmod(0o700)


def unwritable(path: Path, why: OSError | str) -> PragmaspecError:
    """The error for a state that cannot be written at ``path``."""
    words = why if isinstance(why, str) else why.strerror or str(why)
    return PragmaspecError(
        Problem(
            summary="The state cannot be written",
            detail=f"{path}: {words}. Nothing more is started, because it could not be recorded. Make room or repair the disk, "
            "then run the command again: it continues where this one stopped.",
        )
    )
