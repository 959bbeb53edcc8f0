"""The syntax tree of a YAML document, with the position of every key and value."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from pragmaspec.errors import Where

TreePath = tuple[str | int, ...]
Position = tuple[int, int]
"""Line and column, 1-based."""


@dataclass(frozen=True, slots=True)
class Scalar:
    """A scalar; ``text`` is a ``Plain`` if it is unquoted."""

    text: str
    position: Position


@dataclass(slots=True)
class Sequence:
    """A sequence, in the order of the file."""

    position: Position
    items: list["Tree"] = field(default_factory=list)


@dataclass(slots=True)
class Mapping:
    """A mapping; ``keys`` has the position of each key."""

    position: Position
    items: dict[str, "Tree"] = field(default_factory=dict)
    keys: dict[str, Position] = field(default_factory=dict)


Tree = Scalar | Sequence | Mapping


@dataclass(frozen=True)
class Document:
    """A parsed file. ``file`` is its path as given by the user."""

    file: str
    text: str
    root: Mapping

    def where(self, path: TreePath) -> Where:
        """Return the position of ``path``: of a scalar itself, else of its key; if it is absent, of the nearest ancestor."""
        node: Tree = self.root
        position = self.root.position
        for step in path:
            if isinstance(node, Mapping) and step in node.items:
                position = node.keys[str(step)]
                node = node.items[str(step)]
            elif isinstance(node, Sequence) and isinstance(step, int) and step < len(node.items):
                node = node.items[step]
                position = node.position
            else:
                break
        line, column = node.position if isinstance(node, Scalar) and node.text else position
        return Where(file=self.file, line=line, column=column)

    def where_key(self, path: TreePath) -> Where:
        """Return the position of the last key in ``path``, which must exist."""
        parent: Any = self.root
        for step in path[:-1]:
            parent = parent.items[step]
        if isinstance(parent, Mapping) and path[-1] in parent.keys:
            line, column = parent.keys[str(path[-1])]
            return Where(file=self.file, line=line, column=column)
        return self.where(path)


def plain_data(node: Tree) -> object:
    """Return ``node`` as dicts, lists and strings; unquoted scalars remain ``Plain``."""
    if isinstance(node, Scalar):
        return node.text
    if isinstance(node, Sequence):
        return [plain_data(item) for item in node.items]
    return {key: plain_data(item) for key, item in node.items.items()}


def iter_scalars(data: Any, path: TreePath = ()) -> Iterator[tuple[TreePath, str]]:  # noqa: ANN401 - a document's data
    """Yield every scalar in ``data`` with its path."""
    if isinstance(data, dict):
        for key, item in data.items():
            yield from iter_scalars(item, (*path, key))
    elif isinstance(data, list):
        for position, item in enumerate(data):
            yield from iter_scalars(item, (*path, position))
    else:
        yield path, data
