"""Adds the quoted source line to problems with a position, for those found after the spec was read."""

from collections.abc import Iterable
from pathlib import Path

from msgspec.structs import replace

from pragmaspec.errors import Problem
from pragmaspec.files import read_regular
from pragmaspec.spec.yaml.text import quoted_line

_FILE_LIMIT_BYTES = 4 * 2**20


def with_quotes(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """Return ``problems``, each with its source line if the file is readable. Quotes are printable and without secrets."""
    files: dict[str, str | None] = {}
    return tuple(_quoted(problem, files) for problem in problems)


def _quoted(problem: Problem, files: dict[str, str | None]) -> Problem:
    where = problem.where
    if where is None or problem.quote is not None:
        return problem
    if where.file not in files:
        files[where.file] = _text(Path(where.file))
    text = files[where.file]
    return problem if text is None else replace(problem, quote=quoted_line(text, where.line))


def _text(path: Path) -> str | None:
    try:
        data = read_regular(path, _FILE_LIMIT_BYTES + 1)
    except OSError:
        return None
    return data.decode(errors="replace") if len(data) <= _FILE_LIMIT_BYTES else None
