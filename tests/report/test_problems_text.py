from collections.abc import Callable
from pathlib import Path

import pytest

from pragmaspec.errors import Problem, Where
from pragmaspec.report.problems_text import problems_text

CASES = Path(__file__).parents[1] / "cases" / "report"
WRONG_KEY = Problem(
    summary="Unknown key",
    detail="`computs` is not a key of a cluster. Did you mean `computes`?",
    where=Where(file="cluster.yaml", line=12, column=5),
    quote="    computs: {count: 2, cpus: 1, memory: 1 GiB}",
)
LONG = Problem(
    summary="Not an ssh key",
    detail="This is no public key that ssh knows. " * 6,
    where=Where(file="keys.yaml", line=3, column=91),
    quote="  - " + "x" * 86 + "!" + "y" * 200,
)
EVIDENCE = Problem(
    summary="A node is not ready",
    detail="boot hello-compute-1 at site lab: waited for ssh.\n  console: [ OK ] \x1b[32mReached target\x1b[0m\n  lease: none",
)
WIDE = Problem(summary="Not a valid name", where=Where(file="cluster.yaml", line=7, column=8), quote="\tクラスタ: {}")
PROBLEMS = {
    "one": (WRONG_KEY,),
    "several": (WRONG_KEY, LONG, EVIDENCE, WIDE, Problem(summary="Short")),
    "without-quote": (Problem(summary="No spec", detail="There is no such file.", where=Where(file="a.yaml", line=1)),),
    "end-of-long-line": (Problem(summary="S", where=Where(file="a", line=1, column=280), quote="z" * 279 + "!"),),
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_looks_as_reviewed(name: str, golden: Callable[[Path, str], None]) -> None:
    golden(CASES / f"problems-{name}.txt", problems_text(PROBLEMS[name], width=90, colour=False))


def test_colour_and_ascii(golden: Callable[[Path, str], None]) -> None:
    text = problems_text(PROBLEMS["several"], width=90, colour=True, unicode=False)
    assert text.isascii()
    golden(CASES / "problems-colour-ascii.txt", text.replace("\x1b", "ESC"))


def test_caret_is_under_the_column() -> None:
    lines = problems_text((WRONG_KEY,), width=90, colour=False).splitlines()
    quoted = next(line for line in lines if "| " in line)
    caret = next(line for line in lines if "^" in line)
    assert quoted[caret.index("^") :].startswith("computs")


def test_quotes_are_escaped() -> None:
    problem = Problem(summary="Bad", where=Where(file="a\x1b]0;x\x07.yaml", line=1), quote="\x1b[2J\x9bm\u202etxt")
    text = problems_text((problem,), width=90, colour=False)
    assert all(character.isprintable() or character == "\n" for character in text)
    assert "\\x1b[2J\\x9bm\\u202etxt" in text


@pytest.mark.parametrize("width", range(60, 90))
def test_options_are_not_separated_from_their_values(width: int) -> None:
    problem = Problem(
        summary="Refused", detail="hello-compute-1 is removed with its disk. If that is meant, say `--allow data-loss`."
    )
    assert "`--allow data-loss`." in problems_text([problem], width=width, colour=False)
