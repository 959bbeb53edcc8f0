"""A YAML document as it was written: values with the position of every key and value."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from pragmaspec.errors import Where

TreePath = tuple[str | int, ...]
Position = tuple[int, int]
"""Line and column, both from 1."""


@dataclass(frozen=True, slots=True)
class Scalar:
    """One value; ``text`` is a ``Plain`` when it had no quotes."""

    text: str
    spot: Position


@dataclass(slots=True)
class Sequence:
    """A list."""

    spot: Position
    items: list["Tree"] = field(default_factory=list)


@dataclass(slots=True)
class Mapping:
    """Keys and values; ``keys`` says where each key stands."""

    spot: Position
    items: dict[str, "Tree"] = field(default_factory=dict)
    keys: dict[str, Position] = field(default_factory=dict)


Tree = Scalar | Sequence | Mapping


@dataclass(frozen=True)
class Document:
    """One file: its tree and where everything in it stands. ``file`` is as the user named it."""

    file: str
    text: str
    root: Mapping

    def where(self, path: TreePath) -> Where:
        """The place of ``path``: a single value's own place, else that of its key; of the nearest ancestor when it is absent."""
        node: Tree = self.root
        spot = self.root.spot
        for step in path:
            if isinstance(node, Mapping) and step in node.items:
                spot = node.keys[str(step)]
                node = node.items[str(step)]
            elif isinstance(node, Sequence) and isinstance(step, int) and step < len(node.items):
                node = node.items[step]
                spot = node.spot
            else:
                break
        line, column = node.spot if isinstance(node, Scalar) and node.text else spot
        return Where(file=self.file, line=line, column=column)

    def where_key(self, path: TreePath) -> Where:
        """The place of the key that ``path``, which is there, ends with."""
        parent: Any = self.root
        for step in path[:-1]:
            parent = parent.items[step]
        if isinstance(parent, Mapping) and path[-1] in parent.keys:
            line, column = parent.keys[str(path[-1])]
            return Where(file=self.file, line=line, column=column)
        return self.where(path)


def plain_data(node: Tree) -> object:
    """``node`` as plain dicts, lists and strings; an unquoted scalar stays a ``Plain``."""
    if isinstance(node, Scalar):
        return node.text
    if isinstance(node, Sequence):
        return [plain_data(item) for item in node.items]
    return {key: plain_data(item) for key, item in node.items.items()}


def iter_scalars(data: Any, path: TreePath = ()) -> Iterator[tuple[TreePath, str]]:  # noqa: ANN401 - a document's data
    """Every single value in ``data`` with its path."""
    if isinstance(data, dict):
        for key, item in data.items():
            yield from iter_scalars(item, (*path, key))
    elif isinstance(data, list):
        for position, item in enumerate(data):
            yield from iter_scalars(item, (*path, position))
    else:
        yield path, data
