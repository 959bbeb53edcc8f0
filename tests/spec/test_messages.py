"""Messages about invalid specs, as golden files: tests/cases/spec_error/<case>/error.txt."""

from collections.abc import Callable
from pathlib import Path

import pytest

from pragmaspec.errors import SpecError
from pragmaspec.report.problems_text import problems_text
from pragmaspec.spec.loader import load_spec

CASES = Path(__file__).parent.parent / "cases" / "spec_error"


@pytest.mark.parametrize("case", sorted(case.name for case in CASES.iterdir()))
def test_message(case: str, monkeypatch: pytest.MonkeyPatch, golden: Callable[[Path, str], None]) -> None:
    monkeypatch.chdir(CASES / case)
    with pytest.raises(SpecError) as caught:
        load_spec(Path("spec.yaml"), user_config=Path("config"), home=Path("home"), agent="")
    golden(CASES / case / "error.txt", problems_text(caught.value.problems, width=100, colour=False))


@pytest.mark.parametrize("case", sorted(case.name for case in CASES.iterdir()))
def test_every_problem_has_a_position_and_advice(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(CASES / case)
    with pytest.raises(SpecError) as caught:
        load_spec(Path("spec.yaml"), user_config=Path("config"), home=Path("home"), agent="")
    for problem in caught.value.problems:
        assert problem.summary
        assert problem.detail.endswith((".", "?"))
        assert problem.where is not None
        if problem.quote is not None:
            assert problem.where.column <= len(problem.quote) + 1
