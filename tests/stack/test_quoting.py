import os
from pathlib import Path

import pytest

from pragmaspec.errors import Problem, Where
from pragmaspec.stack.quoting import with_quotes


def _at(file: Path, line: int, quote: str | None = None) -> Problem:
    return Problem(summary="x", where=Where(file=str(file), line=line), quote=quote)


def test_problems_quote_the_line_of_the_spec(tmp_path: Path) -> None:
    spec = tmp_path / "cluster.yaml"
    spec.write_bytes(b"one\ntwo \xff\n")
    found = with_quotes((_at(spec, 1), _at(spec, 2), _at(spec, 9), _at(spec, 1, "given"), Problem(summary="nowhere")))
    assert [problem.quote for problem in found] == ["one", "two \N{REPLACEMENT CHARACTER}", None, "given", None]


def test_secrets_are_redacted_in_quotes(tmp_path: Path) -> None:
    spec = tmp_path / "cluster.yaml"
    spec.write_text("disk: {source: 'https://images.example.org/a.qcow2?token=abc'}\npassword: abc\n")
    found = with_quotes((_at(spec, 1), _at(spec, 2)))
    assert [problem.quote for problem in found] == [
        "disk: {source: 'https://images.example.org/a.qcow2?token=…'}",
        "password: …",
    ]


def test_large_and_missing_files_are_not_quoted(tmp_path: Path) -> None:
    large = tmp_path / "large.yaml"
    with large.open("wb") as file:
        file.truncate(2**23)
    assert [problem.quote for problem in with_quotes((_at(large, 1), _at(tmp_path / "gone", 1)))] == [None, None]


@pytest.mark.timeout(10)
def test_devices_and_pipes_are_not_quoted(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert [problem.quote for problem in with_quotes((_at(Path("/dev/zero"), 1), _at(tmp_path / "pipe", 1)))] == [None, None]
