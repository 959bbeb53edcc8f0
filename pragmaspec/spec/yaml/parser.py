"""Parses YAML into a tree with positions, in one pass over ruamel's events, within limits.

Scalars remain strings (see :class:`.scalars.Plain`), which avoids the pitfalls of YAML 1.1: ``no``, ``12:30``, ``0644``, an
unquoted MAC address.
"""

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    CollectionStartEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    NodeEvent,
    ScalarEvent,
    SequenceEndEvent,
)

from pragmaspec.errors import Problem, SpecError, Where
from pragmaspec.spec.yaml.scalars import NUMBER, Plain, is_typed
from pragmaspec.spec.yaml.syntax_errors import syntax_problem
from pragmaspec.spec.yaml.text import decode_text, quoted_line, unsafe_character
from pragmaspec.spec.yaml.tree import Document, Mapping, Position, Scalar, Sequence, Tree

DEPTH_MAX = 64
ALIASES_MAX = 100
ALIASED_NODES_MAX = 10_000
"""Maximum number of values that all aliases expand to, so that a small file cannot become a large tree."""
_TAG_ADVICE = {"!!binary": "Remove it; in `write_files`, write `encoding: b64` beside `content` instead."}
_OTHER_TAG_ADVICE = "Remove it; put the value in quotes if it is a string."
_BY_INDEX = "overrides"
"""The key of a mapping by number, whose order has no meaning."""
_KEY_ADVICE = "Write a name that begins with a letter, or, in user-data, put the key in quotes."


def read_document(data: bytes, file: str) -> Document:
    """Return the document in ``data``. Raises SpecError with all problems up to the first syntax error."""
    text = decode_text(data, file)
    reader = _Reader(text, file)
    root = reader.tree()
    if root is None and not reader.problems:
        root = Mapping((1, 1))
    if not isinstance(root, Mapping):
        detail = "The file must contain keys and values, such as `clusters:`."
        reader.report("Not a mapping", detail, root.position if root else (1, 1))
        root = Mapping((1, 1))
    if reader.problems:
        raise SpecError.of(reader.problems)
    return Document(file, text, root)


class _Reader:
    """Builds the tree and collects problems."""

    def __init__(self, text: str, file: str) -> None:
        self.problems: list[Problem] = []
        self._text = text
        self._file = file
        self._anchors: dict[str, Tree | None] = {}
        self._aliases = 0
        self._aliased_nodes = 0
        self._open_brackets: list[Position] = []
        self._keys: list[str] = []
        self._events = YAML(typ="safe", pure=True).parse(text)

    def tree(self) -> Tree | None:
        """Return the tree of the document, or None if there is none. Raises SpecError for invalid syntax or an exceeded limit."""
        root: Tree | None = None
        documents = 0
        try:
            for event in self._events:
                if isinstance(event, DocumentStartEvent):
                    documents += 1
                    self._check_start(event, documents)
                elif isinstance(event, NodeEvent):
                    root = self._node(event, 1)
        except MarkedYAMLError as error:
            raise self._error(*syntax_problem(error, self._text, self._unclosed_bracket())) from None
        except (YAMLError, ValueError, OverflowError) as error:
            detail = f"The YAML parser reports: {str(error).splitlines()[0]}." if str(error) else ""
            raise self._error("Invalid YAML", detail, (1, 1)) from None
        return root

    def report(self, summary: str, detail: str, position: Position) -> None:
        """Add a problem without stopping."""
        self.problems.append(self._problem(summary, detail, position))

    def _unclosed_bracket(self) -> Position | None:
        return self._open_brackets[-1] if self._open_brackets else None

    def _check_start(self, event: DocumentStartEvent, documents: int) -> None:
        if event.version or event.tags:
            self.report("YAML directive", "Directives, which begin with %, are not supported. Remove this line.", (1, 1))
        if documents > 1:
            detail = "A file contains one document. Remove this line and everything after it."
            raise self._error("Several documents", detail, _position(event))

    def _node(self, event: NodeEvent, depth: int) -> Tree:
        position = _position(event)
        if depth > DEPTH_MAX:
            raise self._error("Nested too deeply", f"Values may be nested at most {DEPTH_MAX} levels deep.", position)
        if isinstance(event, AliasEvent):
            return self._alias(event.anchor, position)
        if isinstance(event, ScalarEvent | CollectionStartEvent) and event.tag:
            tag = str(event.tag).replace("tag:yaml.org,2002:", "!!")
            detail = f"Tags such as {tag} are not supported. {_TAG_ADVICE.get(tag, _OTHER_TAG_ADVICE)}"
            self.report("YAML tag", detail, position)
        if event.anchor:
            self._anchors[event.anchor] = None
        node = self._content(event, position, depth)
        if event.anchor:
            self._anchors[event.anchor] = node
        return node

    def _collection(self, event: CollectionStartEvent, position: Position, depth: int) -> Tree:
        if event.flow_style:
            self._open_brackets.append(position)
        found = (
            self._mapping(Mapping(position), depth)
            if isinstance(event, MappingStartEvent)
            else self._sequence(Sequence(position), depth)
        )
        if event.flow_style:
            self._open_brackets.pop()
        return found

    def _sequence(self, found: Sequence, depth: int) -> Sequence:
        while not isinstance(item := next(self._events), SequenceEndEvent):
            found.items.append(self._node(item, depth + 1))
        return found

    def _content(self, event: NodeEvent, position: Position, depth: int) -> Tree:
        if isinstance(event, CollectionStartEvent):
            return self._collection(event, position, depth)
        value = event.value if isinstance(event, ScalarEvent) else ""
        character = unsafe_character(value)
        if character:
            self.report("Invisible or control character", f"This escape sequence stands for {character}. Remove it.", position)
        return Scalar(value if getattr(event, "style", None) else Plain(value), position)

    def _mapping(self, found: Mapping, depth: int) -> Mapping:
        merges: list[tuple[Tree, Position]] = []
        numbers: list[Scalar] = []
        while not isinstance(event := next(self._events), MappingEndEvent):
            key = self._node(event, depth + 1)
            self._keys.append(key.text if isinstance(key, Scalar) else "")
            value = self._node(next(self._events), depth + 1)
            self._keys.pop()
            if not isinstance(key, Scalar):
                self.report("Key is not a string", "A key cannot be a list or a mapping. Write a name.", key.position)
            elif isinstance(key.text, Plain) and is_typed(key.text) and not self._is_index(key.text):
                self.report("Key is not a string", f"YAML does not read `{key.text}` as a string. {_KEY_ADVICE}", key.position)
            elif key.text == "<<" and isinstance(key.text, Plain):
                merges.append((value, key.position))
            elif key.text in found.items:
                line, column = found.keys[key.text]
                detail = f"`{key.text}` is already at line {line}, column {column}. Keep one of them."
                self.report("Duplicate key", detail, key.position)
            else:
                if isinstance(key.text, Plain) and key.text.isdecimal():
                    numbers.append(key)
                found.items[str(key.text)], found.keys[str(key.text)] = value, key.position
        if self._keys[-1:] != [_BY_INDEX]:
            self._check_numbers(numbers)
        for value, position in merges:
            self._merge(found, value, position)
        return found

    def _is_index(self, key: str) -> bool:
        """True if ``key`` may be a number; the fields of the model check which numbers are valid in a mapping by index."""
        return key.isdecimal() or (self._keys[-1:] == [_BY_INDEX] and NUMBER.match(key) is not None)

    def _check_numbers(self, keys: list[Scalar]) -> None:
        """Report numeric keys of different length: cloud-init processes them in the order of the strings, not of the numbers."""
        width = max((len(key.text) for key in keys), default=0)
        for key in keys:
            if len(key.text) != width:
                detail = (
                    f"Keys are sorted as strings, so `{key.text}` may sort after a greater number. Write `{key.text:>0{width}}`."
                )
                self.report("Numeric keys of different length", detail, key.position)

    def _merge(self, into: Mapping, value: Tree, position: Position) -> None:
        """Apply the merge key ``<<`` (https://yaml.org/type/merge.html): add the entries whose keys are absent."""
        for source in value.items if isinstance(value, Sequence) else (value,):
            if not isinstance(source, Mapping):
                self.report("Nothing to merge", "`<<` takes the alias of a mapping, such as `<<: *defaults`.", position)
                return
            for key, item in source.items.items():
                if key not in into.items:
                    into.items[key], into.keys[key] = item, source.keys[key]

    def _alias(self, name: str, position: Position) -> Tree:
        target = self._anchors.get(name)
        if target is None:
            reason = "it is inside the value it refers to" if name in self._anchors else "no anchor before it has this name"
            raise self._error("Unknown alias", f"*{name} cannot be used here: {reason}.", position)
        self._aliases += 1
        self._aliased_nodes += _size(target)
        if self._aliases > ALIASES_MAX or self._aliased_nodes > ALIASED_NODES_MAX:
            detail = f"A file may contain at most {ALIASES_MAX} aliases, which expand to at most {ALIASED_NODES_MAX} values."
            raise self._error("Too many aliases", detail, position)
        return target

    def _error(self, summary: str, detail: str, position: Position) -> SpecError:
        """Return the error for a problem that ends parsing, with the problems before it."""
        return SpecError.of([*self.problems, self._problem(summary, detail, position)])

    def _problem(self, summary: str, detail: str, position: Position) -> Problem:
        where = Where(file=self._file, line=position[0], column=position[1])
        return Problem(summary=summary, detail=detail, where=where, quote=quoted_line(self._text, position[0]))


def _position(event: DocumentStartEvent | NodeEvent) -> Position:
    return event.start_mark.line + 1, event.start_mark.column + 1


def _size(node: Tree) -> int:
    if isinstance(node, Scalar):
        return 1
    items = node.items.values() if isinstance(node, Mapping) else node.items
    return 1 + sum(_size(item) for item in items)
