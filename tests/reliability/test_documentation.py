"""The page on reliability lists every fault once, with tests that exist."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| (\d+) \| (.+?) \| (.+?) \| (.+?) \|$", re.MULTILINE)
TEST = re.compile(r"`((?:tests|pragmaspec/testing)/[\w/]+\.py)::(\w+)`")
FAULTS = [*range(1, 36), *range(61, 71), *range(43, 47)]


def names_in(file: Path) -> set[str]:
    return {node.name for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))) if isinstance(node, ast.FunctionDef)}


def test_every_fault_has_one_row_and_every_row_a_test() -> None:
    rows = ROW.findall(PAGE)
    assert [int(number) for number, *_ in rows] == FAULTS
    assert [number for number, _, _, tests in rows if not TEST.findall(tests)] == []
    assert [number for number, _, _, tests in rows if len(TEST.findall(tests)) != tests.count("::")] == []


def test_every_listed_test_exists() -> None:
    listed = TEST.findall(PAGE)
    assert len(listed) > len(FAULTS)
    missing = {f"{file}::{name}" for file, name in listed if not (ROOT / file).is_file() or name not in names_in(ROOT / file)}
    assert missing == set()


def test_every_listed_file_exists() -> None:
    files = {file for file in re.findall(r"`(tests/[\w/.]+)`", PAGE) if "::" not in file}
    assert [file for file in files if not (ROOT / file).exists()] == []


def test_the_page_has_the_current_numbers_of_kill_points() -> None:
    from tests.engine.test_kill import COMING, GOING, LIBVIRT_COMING
    from tests.providers.libvirt.test_kill import COMES, GOES

    counts = (len(COMING) + len(GOING), len(COMING) + len(LIBVIRT_COMING), len(COMES) + len(GOES))
    assert f"at {counts[0]} named points at a simulated site, at {counts[1]} at libvirt's own" in PAGE
    assert f"at {counts[2]} at the real daemon" in PAGE
