"""The imports between the modules of a checkout, and the circles among them.

Only import statements count: modules that are loaded by name (``import_module``) are not detected, nor is the implicit import
of a package with its module.
"""

import ast
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import IntEnum

from source_code import Module, called


class Level(IntEnum):
    """The kind of an import statement. The graph of one level includes the imports of all lower levels."""

    MODULE = 0
    FUNCTION = 1
    TYPES = 2


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
    reached = {module: _reached(graph, module) for module in graph}
    circles = {tuple(sorted(each for each in reached[module] if module in reached[each])) for module in graph}
    return sorted((circle for circle in circles if len(circle) > 1), key=lambda circle: (-len(circle), circle))


def shortest_circle(graph: Mapping[str, set[str]], component: Iterable[str]) -> tuple[str, ...]:
    """Return a shortest path from a module of ``component`` back to itself; its first module is also its last."""
    inside = set(component)
    inner = {module: graph[module] & inside for module in sorted(inside)}
    return min((_way_back(inner, module) for module in inner), key=len)


def described_circles(graph: Mapping[str, set[str]]) -> tuple[str, ...]:
    """Return each import circle as text: a shortest path, and all modules of the component if there are more."""
    return tuple(_described_circle(graph, circle) for circle in import_circles(graph))


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
        return node.orelse if called(node.test.operand) == "TYPE_CHECKING" else []
    return node.body if called(node.test) == "TYPE_CHECKING" else []


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
