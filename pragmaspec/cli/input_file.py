"""Input files of commands; ``-`` is standard input."""

from pragmaspec.errors import UsageError
from pragmaspec.files import STANDARD_STREAM, read_stream


def input_name(file: str) -> str:
    """Return the name of ``file`` for messages."""
    return "standard input" if file == STANDARD_STREAM else file


def read_input(file: str, limit_bytes: int) -> bytes:
    """Return the first ``limit_bytes`` of ``file``. Raises UsageError if it cannot be read."""
    try:
        return read_stream(file, limit_bytes)
    except OSError as error:
        raise UsageError("File not readable", f"{input_name(file)}: {error.strerror or error}.") from error
