"""Limits for the structure of the source, and tests of the figures of ``benchmarks/structure.py``."""

import re
import tomllib
from pathlib import Path

import pytest
from import_graph import Level, described_circles, import_circles, import_graph
from source_code import (
    Module,
    docstrings,
    folder_sizes,
    functions,
    modules,
    only_builds_an_error,
    repeated_class_names,
)
from structure import LARGE_FOLDER, beginning_with, first_word

ROOT = Path(__file__).parents[1]
LARGEST_SHARE = 0.02


@pytest.fixture(scope="module")
def source() -> tuple[Module, ...]:
    found = modules(ROOT)
    assert len(found) > 100
    return found


def test_no_import_circles_between_files(source: tuple[Module, ...]) -> None:
    _no_circles(source, Level.MODULE)


def test_no_import_circles_through_functions(source: tuple[Module, ...]) -> None:
    _no_circles(source, Level.FUNCTION)


def test_no_import_circles_through_types(source: tuple[Module, ...]) -> None:
    _no_circles(source, Level.TYPES)


def test_few_docstrings_begin_with_a_question_word(source: tuple[Module, ...]) -> None:
    texts = [text for module in source for text in docstrings(module)]
    found = [text for word in ("What", "Whether", "Who") for text in beginning_with(word, texts)]
    if len(found) > LARGEST_SHARE * len(texts):
        head = f"{len(found)} of {len(texts)} docstrings, more than {LARGEST_SHARE:.0%}, begin with What, Whether or Who. Some:"
        pytest.fail("\n    ".join([head, *(text.splitlines()[0] for text in found[:20])]), pytrace=False)


def test_the_architecture_lists_the_layers_in_their_order() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    listed = re.findall(r"^([a-z_]+)/? {2,}", page.partition("## 3.")[2].partition("## 4.")[0], re.MULTILINE)
    assert listed == [layer for layer in layers if layer != "_version"]


def test_no_large_folders(source: tuple[Module, ...]) -> None:
    found = [f"{folder}: {size}" for folder, size in folder_sizes(source).most_common() if size > LARGE_FOLDER]
    if found:
        pytest.fail("\n    ".join([f"Folders of more than {LARGE_FOLDER} modules:", *found]), pytrace=False)


def test_no_public_classes_share_their_name(source: tuple[Module, ...]) -> None:
    found = repeated_class_names(source)
    if found:
        head = "Public class names that are defined in several modules:"
        pytest.fail("\n    ".join([head, *(f"{name}: {', '.join(paths)}" for name, paths in found.items())]), pytrace=False)


def _no_circles(source: tuple[Module, ...], level: Level) -> None:
    circles = described_circles(import_graph(source, level))
    if circles:
        pytest.fail("\n    ".join(["Modules import each other in a circle:", *circles]), pytrace=False)


def _source(folder: Path, **texts: str) -> tuple[Module, ...]:
    """Write modules below ``folder``: ``a__b="…"`` is ``pragmaspec/a/b.py``, and ``init`` means ``__init__``."""
    for name, text in {"init": "", **texts}.items():
        path = folder / "pragmaspec" / (name.replace("__", "/").replace("init", "__init__") + ".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return modules(folder)


@pytest.mark.parametrize(
    "text",
    [
        "import pragmaspec.layers.a",
        "from pragmaspec.layers import a",
        "from pragmaspec.layers.a import Name",
        "from .a import Name",
        "from . import a",
        "from ..layers.a import *",
        "try:\n    from . import a\nexcept ImportError:\n    pass",
        "class Layer:\n    from . import a",
        "if not TYPE_CHECKING:\n    from . import a",
        "if TYPE_CHECKING:\n    pass\nelse:\n    from . import a",
    ],
)
def test_every_form_of_import_at_module_level_is_found(tmp_path: Path, text: str) -> None:
    found = _source(tmp_path, layers__a="from pragmaspec.layers import b", layers__b=text)
    circle = "pragmaspec.layers.a → pragmaspec.layers.b → pragmaspec.layers.a"
    assert described_circles(import_graph(found, Level.MODULE)) == (circle,)


@pytest.mark.parametrize(
    ("text", "level"),
    [
        ("def load():\n    from . import a", Level.FUNCTION),
        ("class Layer:\n    async def load(self):\n        if self:\n            import pragmaspec.layers.a", Level.FUNCTION),
        ("if TYPE_CHECKING:\n    from . import a", Level.TYPES),
        ("if typing.TYPE_CHECKING:\n    def load():\n        from . import a", Level.TYPES),
        ("def load():\n    if TYPE_CHECKING:\n        from . import a", Level.TYPES),
        ("if not TYPE_CHECKING:\n    pass\nelse:\n    from . import a", Level.TYPES),
    ],
)
def test_imports_in_functions_and_for_types_count_at_their_level(tmp_path: Path, text: str, level: Level) -> None:
    found = _source(tmp_path, layers__a="from pragmaspec.layers import b", layers__b=text)
    circles = {each: import_circles(import_graph(found, each)) for each in Level}
    circle = ("pragmaspec.layers.a", "pragmaspec.layers.b")
    assert circles == {each: [circle] if each >= level else [] for each in Level}


def test_separate_and_joined_circles(tmp_path: Path) -> None:
    found = _source(
        tmp_path,
        a="import pragmaspec.b",
        b="import pragmaspec.a, pragmaspec.c, pragmaspec.x",
        c="import pragmaspec.b",
        x="import pragmaspec.y, os",
        y="import pragmaspec.x, pragmaspec.end",
        end="import pragmaspec.end",
        begin="import pragmaspec.a",
    )
    graph = import_graph(found, Level.MODULE)
    assert import_circles(graph) == [("pragmaspec.a", "pragmaspec.b", "pragmaspec.c"), ("pragmaspec.x", "pragmaspec.y")]
    assert described_circles(graph) == (
        "pragmaspec.a → pragmaspec.b → pragmaspec.a (in a circle of 3 modules: pragmaspec.a, pragmaspec.b, pragmaspec.c)",
        "pragmaspec.x → pragmaspec.y → pragmaspec.x",
    )


def test_a_package_and_its_module_form_a_circle(tmp_path: Path) -> None:
    found = _source(tmp_path, layers__init="from .a import Layer", layers__a="from pragmaspec.layers import Layer")
    assert import_circles(import_graph(found, Level.MODULE)) == [("pragmaspec.layers", "pragmaspec.layers.a")]


def test_first_words_of_docstrings(tmp_path: Path) -> None:
    text = '"""Module."""\nNAME = "no docstring"\n"""*Whose* it is."""\nclass A:\n    """``what`` is code."""\n'
    _, module = _source(tmp_path, a=text)
    texts = sorted(docstrings(module))
    assert [first_word(each) for each in texts] == ["Whose", "Module", "``what``"]
    assert beginning_with("Who", texts) == ["*Whose* it is."]
    assert beginning_with("What", texts) == []


def test_folder_sizes_exclude_subfolders(tmp_path: Path) -> None:
    found = _source(tmp_path, a="", layers__init="", layers__a="", layers__b="", layers__inner__c="")
    assert folder_sizes(found) == {"pragmaspec": 1, "pragmaspec/layers": 2, "pragmaspec/layers/inner": 1}


@pytest.mark.parametrize(
    ("text", "alone", "with_assignments"),
    [
        ('def f(x):\n    """Docstring."""\n    return errors.SiteError(x)', True, True),
        ("def f(x):\n    raise SiteError(x) from x", True, True),
        ("def f(x):\n    return Problem(summary=x)", True, True),
        ("def f(x):\n    text = x\n    return Problem(summary=text)", False, True),
        ("def f(x):\n    print(x)\n    return Problem(summary=x)", False, False),
        ("def f(x):\n    return Problems(x)", False, False),
        ("def f(x):\n    raise x", False, False),
        ("def f(x):\n    raise NotImplementedError(x)", False, False),
        ('def f(x):\n    """Docstring."""', False, False),
        ("class A:\n    def __setattr__(self, *x):\n        raise AttributeError(x)", False, False),
    ],
)
def test_error_helpers_are_recognised(tmp_path: Path, text: str, alone: bool, with_assignments: bool) -> None:
    _, module = _source(tmp_path, a=text)
    (function,) = functions(module)
    assert only_builds_an_error(function) is alone
    assert only_builds_an_error(function, assignments=True) is with_assignments


def test_self_and_cls_are_not_counted(tmp_path: Path) -> None:
    text = """\
class A:
    def method(self, a, /, b, *c, d, **e): ...
    @classmethod
    def build(cls, a): ...
    @staticmethod
    def plain(a):
        def inner(a, b): ...
"""
    _, module = _source(tmp_path, a=text)
    assert {each.name: each.parameters for each in functions(module)} == {
        "A.method": 5,
        "A.build": 1,
        "A.plain": 1,
        "A.plain.inner": 2,
    }


def test_class_names_of_several_modules_are_found(tmp_path: Path) -> None:
    text = "class Layer: ...\nclass _Own: ...\nclass Outer:\n    class Inner: ...\n"
    found = _source(tmp_path, a=text, b=text.replace("Outer", "Other"), c="class Only: ...\nclass Only: ...\n")
    assert repeated_class_names(found) == {"Layer": ("pragmaspec/a.py", "pragmaspec/b.py")}
    assert repeated_class_names(found, private=True) == {"_Own": ("pragmaspec/a.py", "pragmaspec/b.py")}
