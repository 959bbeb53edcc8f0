"""The modules of a checkout as syntax trees: docstrings, comments, functions, class names.

The source is parsed, never imported.
"""

import ast
import io
import sys
import tokenize
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path, PurePosixPath

PACKAGE = "pragmaspec"


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
        return self.in_class and "staticmethod" not in map(called, self.node.decorator_list)


def modules(root: Path) -> tuple[Module, ...]:
    """Return every file of the package in the checkout at ``root``, sorted by path."""
    return tuple(_module(root, path) for path in sorted((root / PACKAGE).rglob("*.py")))


def docstrings(module: Module) -> Iterator[str]:
    """Yield every string statement: docstrings of the module, its classes and functions, and those after assignments."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.value.value.strip()


def docstring_count(module: Module) -> int:
    """Return the number of docstrings in the sense of Python: of the module, of its classes and functions."""
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    return sum(isinstance(node, kinds) and ast.get_docstring(node) is not None for node in ast.walk(module.tree))


def comments(module: Module) -> Iterator[str]:
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
    return allowed and is_error(_result(last))


def folder_sizes(source: Iterable[Module]) -> Counter[str]:
    """Return the number of modules directly in each folder, without ``__init__``."""
    return Counter(str(module.path.parent) for module in source if not module.is_package)


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


def _module(root: Path, path: Path) -> Module:
    text = path.read_text(encoding="utf-8")
    try:
        tree = ast.parse(text, filename=str(path))
    except SyntaxError as error:
        sys.exit(f"{path} cannot be parsed: {error}")
    return Module(PurePosixPath(path.relative_to(root)), text, tree)


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


def is_error(node: ast.expr | None) -> bool:
    if not isinstance(node, ast.Call):
        return False
    name = called(node)
    return name == "Problem" or (name.endswith("Error") and name != "NotImplementedError")


def called(node: ast.expr) -> str:
    """Return the last part of the name of ``node`` or its callee, as ``X`` in ``a.X(…)``; empty without a name."""
    if isinstance(node, ast.Call):
        return called(node.func)
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""
