"""Measure the structure of the source: sizes, folders, import circles, wording of docstrings, error helpers, repeated names.

    python benchmarks/structure.py [ROOT|REVISION ...] [--verbose] [--startup]

Each argument is a checkout or a git revision of this one (default: this checkout). Several are printed side by side, in the given
order. ``--verbose`` also lists the source locations behind the figures. ``--startup`` times the command of each checkout with an
editable installation of itself in ``.venv``; a revision has none.

The source is parsed, never imported. So only import statements count: modules that are loaded by name (``import_module``) are not
detected, nor is the implicit import of a package with its module.
"""

import argparse
import ast
import io
import re
import shutil
import subprocess
import sys
import tokenize
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import pairwise
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).parents[1]
PACKAGE = "pragmaspec"

LONG_MODULE = 500
LARGE_FOLDER = 25
LONG_FUNCTION = 40
MANY_PARAMETERS = 5
SHORT_DOCSTRING = 4

QUESTION_WORDS: Mapping[str, frozenset[str]] = {
    "What": frozenset({"what", "whatever"}),
    "Whether": frozenset({"whether"}),
    "Who": frozenset({"who", "whom", "whose", "whoever", "whomever"}),
    "Where": frozenset({"where", "wherever"}),
    "How": frozenset({"how", "however"}),
    "Which": frozenset({"which", "whichever"}),
    "When": frozenset({"when", "whenever"}),
}
"""First words of docstrings, each with the forms that count as the same word."""

_PERSONS = re.compile(r"\b(whoever|nobody|somebody|anybody)\b", re.IGNORECASE)
_FIRST_WORD = re.compile(r"``.*?``|\w+", re.DOTALL)
_WORD = re.compile(r"\S*\w\S*")
_ROUNDS = 10


class Level(IntEnum):
    """The kind of an import statement. The graph of one level includes the imports of all lower levels."""

    MODULE = 0
    FUNCTION = 1
    TYPES = 2


@dataclass(frozen=True)
class Module:
    """One parsed file of the package. ``path`` is relative to the checkout."""

    path: PurePosixPath
    text: str
    tree: ast.Module

    @property
    def is_package(self) -> bool:
        return self.path.name == "__init__.py"

    @property
    def name(self) -> str:
        return ".".join(self.path.parent.parts if self.is_package else self.path.with_suffix("").parts)

    @property
    def lines(self) -> int:
        return len(self.text.splitlines())


@dataclass(frozen=True)
class Function:
    """A function or method. ``name`` includes the enclosing classes and functions."""

    module: Module
    node: ast.FunctionDef | ast.AsyncFunctionDef
    name: str
    in_class: bool

    def __str__(self) -> str:
        return f"{self.module.path}:{self.node.lineno} {self.name}"

    @property
    def lines(self) -> int:
        """Number of lines from ``def`` to the end, without decorators."""
        return (self.node.end_lineno or self.node.lineno) - self.node.lineno + 1

    @property
    def parameters(self) -> int:
        """Number of parameters of every kind, without ``self`` or ``cls``."""
        given = self.node.args
        starred = [each for each in (given.vararg, given.kwarg) if each is not None]
        return len([*given.posonlyargs, *given.args, *given.kwonlyargs, *starred]) - self._is_bound

    @property
    def _is_bound(self) -> bool:
        return self.in_class and "staticmethod" not in map(_called, self.node.decorator_list)


@dataclass(frozen=True)
class Figure:
    """One row of the table. ``places`` are listed by ``--verbose``."""

    name: str
    value: str
    places: tuple[str, ...] = ()


def main() -> None:
    # Imported here because the tests import this module without its folder on the path.
    from measure import machine, table  # noqa: PLC0415
    from scratch import scratch  # noqa: PLC0415

    arguments = _arguments()
    with scratch() as folder:
        roots = {name: _root(name, folder) for name in arguments.of} or {ROOT.name: ROOT}
        sources = {name: modules(root) for name, root in roots.items()}
        every = {name: figures(source) for name, source in sources.items()}
        print(table(_head(every), _rows(list(every.values()))))
        print()
        print(table(_head(every), _rows([most_common_words(source) for source in sources.values()])))
        if arguments.verbose:
            _print_places(every)
        if arguments.startup:
            print(f"\n{machine()}")
            print(table(_head(every), _rows(startup(roots, folder))))


def modules(root: Path) -> tuple[Module, ...]:
    """Return every file of the package in the checkout at ``root``, sorted by path."""
    return tuple(_module(root, path) for path in sorted((root / PACKAGE).rglob("*.py")))


def figures(source: Sequence[Module]) -> list[Figure]:
    """Return all figures that depend on the source alone."""
    return [
        *_sizes(source),
        *_folders(source),
        *_circles(source),
        *_words(source),
        *_functions(source),
        *_problems(source),
        *_class_names(source),
    ]


def import_graph(source: Sequence[Module], level: Level) -> dict[str, set[str]]:
    """Return the imports between modules of ``source``, at ``level`` and all lower levels."""
    known = {module.name for module in source}
    return {
        module.name: {
            target
            for at, statement in _imports(module.tree, Level.MODULE)
            if at <= level
            for target in _targets(module, statement, known)
        }
        - {module.name}
        for module in source
    }


def import_circles(graph: Mapping[str, set[str]]) -> list[tuple[str, ...]]:
    """Return the strongly connected components with more than one module, the largest first."""
    inner = _without_ends(graph)
    reached = {module: _reached(inner, module) for module in inner}
    circles = {tuple(sorted(each for each in reached[module] if module in reached[each])) for module in inner}
    return sorted((circle for circle in circles if len(circle) > 1), key=lambda circle: (-len(circle), circle))


def shortest_circle(graph: Mapping[str, set[str]], component: Iterable[str]) -> tuple[str, ...]:
    """Return a shortest path from a module of ``component`` back to itself; its first module is also its last."""
    inside = set(component)
    inner = {module: graph[module] & inside for module in sorted(inside)}
    return min((_way_back(inner, module) for module in inner), key=len)


def described_circles(graph: Mapping[str, set[str]]) -> tuple[str, ...]:
    """Return each import circle as text: a shortest path, and all modules of the component if there are more."""
    return tuple(_described_circle(graph, circle) for circle in import_circles(graph))


def folder_sizes(source: Iterable[Module]) -> Counter[str]:
    """Return the number of modules directly in each folder, without ``__init__``."""
    return Counter(str(module.path.parent) for module in source if not module.is_package)


def docstrings(module: Module) -> Iterator[str]:
    """Yield every string statement: docstrings of the module, its classes and functions, and those after assignments."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.value.value.strip()


def first_word(docstring: str) -> str:
    """Return the first word, or the leading text in double backticks."""
    found = _FIRST_WORD.search(docstring)
    return found[0] if found else ""


def beginning_with(question: str, texts: Iterable[str]) -> list[str]:
    """Return the docstrings that begin with a form of ``question``, a key of ``QUESTION_WORDS``."""
    return [text for text in texts if first_word(text).lower() in QUESTION_WORDS[question]]


def most_common_words(source: Iterable[Module], number: int = 10) -> list[Figure]:
    """Return the most common first words of docstrings, one row per rank."""
    counted = Counter(first_word(text) for module in source for text in docstrings(module))
    return [
        Figure(f"first word of docstrings, rank {rank}", f"{word} {count}")
        for rank, (word, count) in enumerate(counted.most_common(number), start=1)
    ]


def functions(module: Module) -> Iterator[Function]:
    """Yield every function and method, including nested ones."""
    yield from _functions_in(module, module.tree, (), in_class=False)


def only_builds_an_error(function: Function, *, assignments: bool = False) -> bool:
    """True if the body, without docstring, only returns or raises a new ``…Error`` or ``Problem``.

    With ``assignments`` the body may begin with assignments. Special methods such as ``__setattr__`` do not count.
    """
    body = _without_docstring(function.node.body)
    if not body or (function.name.endswith("__") and function.in_class):
        return False
    *before, last = body
    allowed = all(isinstance(each, ast.Assign | ast.AnnAssign | ast.AugAssign) for each in before) if assignments else not before
    return allowed and _is_error(_result(last))


def class_places(source: Iterable[Module]) -> dict[str, tuple[str, ...]]:
    """Return the modules that define each class name; nested classes are ignored."""
    places: defaultdict[str, set[str]] = defaultdict(set)
    for module in source:
        for name in _class_names_in(module.tree):
            places[name].add(str(module.path))
    return {name: tuple(sorted(paths)) for name, paths in sorted(places.items())}


def repeated_class_names(source: Iterable[Module], *, private: bool = False) -> dict[str, tuple[str, ...]]:
    """Return the class names that several modules define, with the paths of these modules."""
    return {name: paths for name, paths in class_places(source).items() if len(paths) > 1 and name.startswith("_") is private}


def startup(roots: Mapping[str, Path], folder: Path) -> list[list[Figure]]:
    """Return for each checkout the fastest start of its command and of its Python; all run in turns."""
    from measure import home_in, take_turns  # noqa: PLC0415 - as in main

    env = home_in(folder)
    commands: dict[str, list[str]] = {}
    for name, root in roots.items():
        if _is_installed(root, folder, env):
            programs = root.absolute() / ".venv" / "bin"
            commands[f"{name}: python"] = [str(programs / "python"), "-c", "pass"]
            commands[f"{name}: help"] = [str(programs / PACKAGE), "--help"]
    runs = take_turns(commands, _ROUNDS, cwd=folder, env=env)
    fastest = {name: each.fastest_s for name, each in runs.items()}
    return [_startup_figures(fastest.get(f"{name}: python"), fastest.get(f"{name}: help")) for name in roots]


def _module(root: Path, path: Path) -> Module:
    text = path.read_text(encoding="utf-8")
    try:
        tree = ast.parse(text, filename=str(path))
    except SyntaxError as error:
        sys.exit(f"{path} cannot be parsed: {error}")
    return Module(PurePosixPath(path.relative_to(root)), text, tree)


def _root(name: str, folder: Path) -> Path:
    """Return the checkout ``name``, or extract the revision ``name`` below ``folder``."""
    if (Path(name) / PACKAGE).is_dir():
        return Path(name)
    git = ["git", "-C", str(ROOT)]
    named = [*git, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}"]
    revision = subprocess.run(named, capture_output=True, text=True, check=False).stdout.strip()
    if not revision:
        sys.exit(f"{name} is neither a checkout with a folder {PACKAGE} nor a git revision of {ROOT}.")
    target, archive = folder / revision, folder / f"{revision}.zip"
    taken = [*git, "archive", "--format=zip", f"--output={archive}", revision, PACKAGE]
    done = subprocess.run(taken, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"The revision {name} could not be extracted: {done.stderr.strip()}")
    shutil.unpack_archive(archive, target)
    return target


def _sizes(source: Sequence[Module]) -> list[Figure]:
    longest = max(source, key=lambda module: module.lines)
    long = [module for module in source if module.lines > LONG_MODULE]
    return [
        Figure("modules", str(len(source))),
        Figure("  without empty __init__", str(sum(bool(module.tree.body) or not module.is_package for module in source))),
        Figure("lines", str(sum(module.lines for module in source))),
        Figure("lines of the longest module", str(longest.lines), (str(longest.path),)),
        Figure(f"modules above {LONG_MODULE} lines", str(len(long)), tuple(f"{each.path} {each.lines}" for each in long)),
    ]


def _folders(source: Sequence[Module]) -> list[Figure]:
    sizes = folder_sizes(source).most_common()
    large = tuple(f"{folder} {size}" for folder, size in sizes if size > LARGE_FOLDER)
    return [
        Figure("folders with modules", str(len(sizes))),
        Figure("modules of the largest folder", str(sizes[0][1]), (sizes[0][0],)),
        Figure(f"folders above {LARGE_FOLDER} modules", str(len(large)), large),
    ]


def _circles(source: Sequence[Module]) -> list[Figure]:
    names = {
        Level.MODULE: "import circles at module level",
        Level.FUNCTION: "  circles with imports in functions",
        Level.TYPES: "  circles with imports in functions or for types",
    }
    rows = []
    for level, name in names.items():
        graph = import_graph(source, level)
        circles = import_circles(graph)
        rows += [
            Figure(name, str(len(circles)), described_circles(graph)),
            Figure("    modules in them", str(sum(map(len, circles)))),
        ]
    return rows


def _words(source: Sequence[Module]) -> list[Figure]:
    documented = [(module, text) for module in source for text in docstrings(module)]
    texts = [text for _, text in documented]
    remarks = documented + [(module, comment) for module in source for comment in _comments(module)]
    persons = tuple(f"{module.path}: {_one_line(text)}" for module, text in remarks if _PERSONS.search(text))
    short = tuple(
        f"{module.path}: {_one_line(text)}" for module, text in documented if len(_WORD.findall(text)) <= SHORT_DOCSTRING
    )
    return [
        Figure("docstrings", str(len(texts))),
        Figure("  of modules, classes and functions", str(sum(map(_documented, source)))),
        *(Figure(f"  beginning with {word}", _share(len(beginning_with(word, texts)), len(texts))) for word in QUESTION_WORDS),
        Figure(f"  docstrings of {SHORT_DOCSTRING} words or fewer", str(len(short)), short),
        Figure("docstrings, comments with whoever, nobody, …", str(len(persons)), persons),
    ]


def _functions(source: Sequence[Module]) -> list[Figure]:
    every = [function for module in source for function in functions(module)]
    chosen = {
        f"  functions of more than {MANY_PARAMETERS} parameters": [each for each in every if each.parameters > MANY_PARAMETERS],
        f"  functions of more than {LONG_FUNCTION} lines": [each for each in every if each.lines > LONG_FUNCTION],
        "  functions that only build an error": [each for each in every if only_builds_an_error(each)],
        "  the same, assignments before it allowed": [each for each in every if only_builds_an_error(each, assignments=True)],
    }
    return [
        Figure("functions", str(len(every))),
        *(Figure(name, str(len(found)), tuple(map(str, found))) for name, found in chosen.items()),
    ]


def _problems(source: Sequence[Module]) -> list[Figure]:
    nodes = [node for module in source for node in ast.walk(module.tree)]
    raised = [node.exc for node in nodes if isinstance(node, ast.Raise) and node.exc is not None and _is_error(node.exc)]
    inside = [inner for error in raised for inner in ast.walk(error) if _is_problem(inner)]
    return [
        Figure("Problem(summary=…) built", str(sum(map(_is_problem, nodes)))),
        Figure("  inside raise …Error(…)", str(len(inside))),
    ]


def _class_names(source: Sequence[Module]) -> list[Figure]:
    rows = []
    for name, private in (("public class names in several modules", False), ("private class names in several modules", True)):
        found = repeated_class_names(source, private=private)
        rows.append(Figure(name, str(len(found)), tuple(f"{each}: {', '.join(paths)}" for each, paths in found.items())))
    return rows


def _imports(node: ast.AST, level: Level) -> Iterator[tuple[Level, ast.Import | ast.ImportFrom]]:
    """Yield the import statements below ``node``, whose own level is ``level``."""
    if isinstance(node, ast.Import | ast.ImportFrom):
        yield level, node
        return
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        level = max(level, Level.FUNCTION)
    for_types = _only_for_types(node)
    for child in ast.iter_child_nodes(node):
        yield from _imports(child, Level.TYPES if child in for_types else level)


def _only_for_types(node: ast.AST) -> list[ast.stmt]:
    """Return the direct child statements that are not executed because of ``if TYPE_CHECKING`` or ``if not TYPE_CHECKING``."""
    if not isinstance(node, ast.If):
        return []
    if isinstance(node.test, ast.UnaryOp) and isinstance(node.test.op, ast.Not):
        return node.orelse if _called(node.test.operand) == "TYPE_CHECKING" else []
    return node.body if _called(node.test) == "TYPE_CHECKING" else []


def _targets(module: Module, statement: ast.Import | ast.ImportFrom, known: set[str]) -> Iterator[str]:
    """Yield the modules of ``known`` that ``statement`` imports; for other names, the module that defines them."""
    if isinstance(statement, ast.Import):
        yield from (alias.name for alias in statement.names if alias.name in known)
        return
    base = statement.module or ""
    if statement.level:
        parents = module.name.split(".")[: None if module.is_package else -1]
        above = parents[: len(parents) - statement.level + 1]
        base = ".".join([*above, base] if base else above)
    for alias in statement.names:
        inner = f"{base}.{alias.name}"
        if inner in known:
            yield inner
        elif base in known:
            yield base


def _without_ends(graph: Mapping[str, set[str]]) -> dict[str, set[str]]:
    """Return ``graph`` reduced to modules that both import and are imported by the rest; circles are among these."""
    inner = dict(graph)
    while True:
        imported = set().union(*inner.values())
        kept = {module: targets & inner.keys() for module, targets in inner.items() if module in imported}
        kept = {module: targets & kept.keys() for module, targets in kept.items() if targets & kept.keys()}
        if kept == inner:
            return inner
        inner = kept


def _reached(graph: Mapping[str, set[str]], start: str) -> set[str]:
    reached, left = {start}, [start]
    while left:
        new = graph[left.pop()] - reached
        reached |= new
        left += new
    return reached


def _way_back(graph: Mapping[str, set[str]], start: str) -> tuple[str, ...]:
    """Return the shortest path from ``start`` to itself, which exists within a circle."""
    ways: deque[tuple[str, ...]] = deque([(start,)])
    seen: set[str] = set()
    while ways:
        way = ways.popleft()
        if start in graph[way[-1]]:
            return (*way, start)
        new = graph[way[-1]] - seen
        seen |= new
        ways += [(*way, module) for module in sorted(new)]
    raise ValueError(f"{start} is in no circle")


def _described_circle(graph: Mapping[str, set[str]], circle: Sequence[str]) -> str:
    way = shortest_circle(graph, circle)
    text = " → ".join(way)
    return text if set(way) == set(circle) else f"{text} (in a circle of {len(circle)} modules: {', '.join(circle)})"


def _documented(module: Module) -> int:
    """Return the number of docstrings in the sense of Python: of the module, of its classes and functions."""
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    return sum(isinstance(node, kinds) and ast.get_docstring(node) is not None for node in ast.walk(module.tree))


def _comments(module: Module) -> Iterator[str]:
    """Yield comments; adjacent lines form one."""
    tokens = tokenize.generate_tokens(io.StringIO(module.text).readline)
    comments = [token for token in tokens if token.type == tokenize.COMMENT]
    text = ""
    for before, token in pairwise([None, *comments]):
        assert token is not None
        goes_on = before is not None and token.start == (before.start[0] + 1, before.start[1])
        if text and not goes_on:
            yield text
            text = ""
        text += token.string.removeprefix("#")
    if text:
        yield text


def _functions_in(module: Module, node: ast.AST, around: tuple[str, ...], *, in_class: bool) -> Iterator[Function]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            inner = (*around, child.name)
            yield Function(module, child, ".".join(inner), in_class)
            yield from _functions_in(module, child, inner, in_class=False)
        elif isinstance(child, ast.ClassDef):
            yield from _functions_in(module, child, (*around, child.name), in_class=True)
        else:
            yield from _functions_in(module, child, around, in_class=in_class)


def _class_names_in(node: ast.AST) -> Iterator[str]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef):
            yield child.name
        elif not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _class_names_in(child)


def _without_docstring(body: Sequence[ast.stmt]) -> Sequence[ast.stmt]:
    first = body[0]
    is_docstring = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
    return body[1:] if is_docstring else body


def _result(statement: ast.stmt) -> ast.expr | None:
    """Return the value that ``statement`` returns or raises."""
    if isinstance(statement, ast.Return):
        return statement.value
    return statement.exc if isinstance(statement, ast.Raise) else None


def _is_error(node: ast.expr | None) -> bool:
    if not isinstance(node, ast.Call):
        return False
    name = _called(node)
    return name == "Problem" or (name.endswith("Error") and name != "NotImplementedError")


def _is_problem(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Call) and _called(node) == "Problem" and any(keyword.arg == "summary" for keyword in node.keywords)
    )


def _called(node: ast.expr) -> str:
    """Return the last part of the name of ``node`` or its callee, as ``X`` in ``a.X(…)``; empty without a name."""
    if isinstance(node, ast.Call):
        return _called(node.func)
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _share(part: int, whole: int) -> str:
    return f"{part} ({part / whole:.1%})" if whole else "0"


def _is_installed(root: Path, folder: Path, env: Mapping[str, str]) -> bool:
    """True if the ``.venv`` of the checkout contains the command, and runs it from this checkout."""
    programs = root.absolute() / ".venv" / "bin"
    if not (programs / PACKAGE).exists():
        return False
    asked = [str(programs / "python"), "-c", f"import {PACKAGE}; print({PACKAGE}.__file__)"]
    answer = subprocess.run(asked, cwd=folder, env=env, capture_output=True, text=True, check=False)
    return answer.returncode == 0 and Path(answer.stdout.strip()).resolve().is_relative_to((root / PACKAGE).resolve())


def _startup_figures(python_s: float | None, help_s: float | None) -> list[Figure]:
    names = ("python -c pass, ms", f"{PACKAGE} --help, ms", "  as a multiple of python -c pass")
    if python_s is None or help_s is None:
        return [Figure(name, "no .venv") for name in names]
    values = (f"{python_s * 1000:.0f}", f"{help_s * 1000:.0f}", f"{help_s / python_s:.1f}")
    return [Figure(name, value) for name, value in zip(names, values, strict=True)]


def _head(every: Iterable[str]) -> list[str]:
    return ["", *_with_arrows(list(every))]


def _rows(columns: Sequence[Sequence[Figure]]) -> list[list[str]]:
    return [[row[0].name, *_with_arrows([figure.value for figure in row])] for row in zip(*columns, strict=True)]


def _with_arrows(cells: Sequence[str]) -> list[str]:
    return [part for cell in cells for part in ("→", cell)][1:]


def _print_places(every: Mapping[str, Sequence[Figure]]) -> None:
    for name, rows in every.items():
        for figure in rows:
            if figure.places:
                print(f"\n{name}: {figure.name.strip()}", *figure.places, sep="\n    ")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("of", nargs="*", metavar="ROOT|REVISION")
    parser.add_argument("--verbose", action="store_true", help="also list the source locations behind the figures")
    parser.add_argument("--startup", action="store_true", help="time the command of each checkout with a .venv")
    return parser.parse_args()


if __name__ == "__main__":
    main()
