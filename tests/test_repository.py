"""Rules of this repository, enforced."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PRODUCT = sorted((ROOT / "pragmaspec").rglob("*.py"))
PAGES = [*sorted(ROOT.glob("*.md")), ROOT / "state" / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
LINK = re.compile(r"\]\((?!https?://|#|mailto:)([^)#\s]+)")
ANCHOR = re.compile(r"\]\(([^)#\s:]*\.md)?#([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)


def _calls(path: Path) -> list[ast.Call]:
    return [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]


def test_only_the_command_line_prints() -> None:
    printing = [
        str(path.relative_to(ROOT))
        for path in PRODUCT
        if "cli" not in path.parts and path.name != "json_schema.py"
        for call in _calls(path)
        if isinstance(call.func, ast.Name) and call.func.id == "print"
    ]
    assert printing == []


def test_no_command_uses_a_shell() -> None:
    through_shell = [
        str(path.relative_to(ROOT))
        for path in PRODUCT
        for call in _calls(path)
        for keyword in call.keywords
        if keyword.arg == "shell" and not (isinstance(keyword.value, ast.Constant) and keyword.value.value is False)
    ]
    assert through_shell == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_in_documents_have_existing_targets(page: Path) -> None:
    targets = LINK.findall(page.read_text(encoding="utf-8"))
    assert [target for target in targets if not (page.parent / target).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_anchors_in_documents_exist(page: Path) -> None:
    missing = [
        f"{file}#{anchor}"
        for file, anchor in ANCHOR.findall(page.read_text(encoding="utf-8"))
        if anchor not in _anchors(page.parent / file if file else page)
    ]
    assert missing == []


def _anchors(page: Path) -> set[str]:
    """The anchors of all headings, formed like those on GitHub."""
    headings = HEADING.findall(page.read_text(encoding="utf-8"))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_readme_shows_the_quickstart_spec() -> None:
    shown = re.search(r"```yaml\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert shown is not None
    written = (ROOT / "examples/quickstart/cluster.yaml").read_text(encoding="utf-8")
    assert written.partition("\n")[2] == shown[1]
    assert len(shown[1].splitlines()) <= 15
