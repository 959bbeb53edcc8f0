"""The user's own line under every problem that has a place, also when planning or applying found it and knows no text."""

from collections.abc import Iterable
from pathlib import Path

from msgspec.structs import replace

from pragmaspec.errors import Problem
from pragmaspec.spec.regular import read_regular

_MOST_BYTES = 4 * 2**20


def quoted(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """``problems``, each with its line of the file when that can be read."""
    files: dict[str, list[str]] = {}
    return tuple(_quoted(problem, files) for problem in problems)


def _quoted(problem: Problem, files: dict[str, list[str]]) -> Problem:
    where = problem.where
    if where is None or problem.quote is not None:
        return problem
    if where.file not in files:
        files[where.file] = _lines(Path(where.file))
    lines = files[where.file]
    return replace(problem, quote=lines[where.line - 1]) if 0 < where.line <= len(lines) else problem


def _lines(path: Path) -> list[str]:
    try:
        data = read_regular(path, _MOST_BYTES + 1)
    except OSError:
        return []
    if len(data) > _MOST_BYTES:
        return []
    return data.decode(errors="replace").replace("\r\n", "\n").replace("\r", "\n").split("\n")
