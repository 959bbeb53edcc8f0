from collections.abc import Callable
from pathlib import Path

from pragmaspec.errors import PlanRefusedError, Problem
from pragmaspec.report.json_forms import error_json, json_text
from tests.report.samples import line

CASES = Path(__file__).parents[1] / "cases" / "report"
Golden = Callable[[Path, str], None]


def test_errors_as_json(golden: Golden) -> None:
    problem = Problem(summary="The plan removes nodes", detail="hello-compute-3.", where=line(3), quote="x")
    golden(CASES / "error.json", json_text(error_json(PlanRefusedError.of([problem, Problem(summary="Another")]))))


def test_json_is_ascii() -> None:
    assert json_text({"a": "ü\x1b"}) == '{\n  "a": "\\u00fc\\u001b"\n}\n'
