"""YAML text to a tree with positions, in one pass over the parser's events, within limits.

Scalars stay text (see ``plain``): YAML 1.1's surprises (``no``, ``12:30``, ``0644``, an unquoted MAC) cannot happen here.
"""

from typing import NoReturn

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
from pragmaspec.spec.yaml.scalars import Plain, is_typed
from pragmaspec.spec.yaml.syntax_errors import syntax_problem
from pragmaspec.spec.yaml.text import decode_text, quoted_line, unsafe_character
from pragmaspec.spec.yaml.tree import Document, Mapping, Position, Scalar, Sequence, Tree

DEPTH_MAX = 64
ALIASES_MAX = 100
_TAG_ADVICE = {"!!binary": "Remove it; in `write_files` write `encoding: b64` beside the `content` instead."}
_OTHER_TAG_ADVICE = "Remove it; quotes make a text."
_KEY_ADVICE = "Write a name that begins with a letter; inside user-data, quotes make this one a text."
ALIASED_NODES_MAX = 10_000
"""How many values aliases may stand for, all together: what keeps a small file from becoming a large tree."""


def read_document(data: bytes, file: str) -> Document:
    """The document in ``data``. Raises SpecError, with every problem that is not one of syntax."""
    text = decode_text(data, file)
    reader = _Reader(text, file)
    root = reader.tree()
    if root is None and not reader.problems:
        root = Mapping((1, 1))
    if not isinstance(root, Mapping):
        reader.report("Not a mapping", "The file holds keys and values, such as `clusters:`.", root.spot if root else (1, 1))
        root = Mapping((1, 1))
    if reader.problems:
        raise SpecError.of(reader.problems)
    return Document(file, text, root)


class _Reader:
    """Builds the tree and collects problems as it goes."""

    def __init__(self, text: str, file: str) -> None:
        self.problems: list[Problem] = []
        self._text = text
        self._file = file
        self._anchors: dict[str, Tree | None] = {}
        self._aliases = 0
        self._aliased_nodes = 0
        self._unclosed: list[Position] = []
        self._events = YAML(typ="safe", pure=True).parse(text)

    def tree(self) -> Tree | None:
        """The only document's tree; None when there is none. Raises SpecError for wrong syntax or a broken limit."""
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
            raise SpecError.of([*self.problems, self._problem(*syntax_problem(error, self._text, self._innermost()))]) from None
        except (YAMLError, ValueError, OverflowError) as error:
            detail = f"The YAML parser says: {str(error).splitlines()[0]}." if str(error) else ""
            raise SpecError.of([*self.problems, self._problem("Not YAML", detail, (1, 1))]) from None
        return root

    def report(self, summary: str, detail: str, spot: Position) -> None:
        """Note a problem and go on."""
        self.problems.append(self._problem(summary, detail, spot))

    def _check_start(self, event: DocumentStartEvent, documents: int) -> None:
        if event.version or event.tags:
            self.report("Directive", "Lines that begin with % are not used here. Remove it.", (1, 1))
        if documents > 1:
            self._stop("Several documents", "A file holds one document. Remove this line and what follows.", _spot(event))

    def _node(self, event: NodeEvent, depth: int) -> Tree:
        spot = _spot(event)
        if depth > DEPTH_MAX:
            self._stop("Nested too deeply", f"Values may stand at most {DEPTH_MAX} levels deep.", spot)
        if isinstance(event, AliasEvent):
            return self._alias(event.anchor, spot)
        if isinstance(event, ScalarEvent | CollectionStartEvent) and event.tag:
            tag = str(event.tag).replace("tag:yaml.org,2002:", "!!")
            self.report("Tag", f"Tags such as {tag} are not used here. {_TAG_ADVICE.get(tag, _OTHER_TAG_ADVICE)}", spot)
        if event.anchor:
            self._anchors[event.anchor] = None
        node = self._content(event, spot, depth)
        if event.anchor:
            self._anchors[event.anchor] = node
        return node

    def _innermost(self) -> Position | None:
        return self._unclosed[-1] if self._unclosed else None

    def _collection(self, event: CollectionStartEvent, spot: Position, depth: int) -> Tree:
        if event.flow_style:
            self._unclosed.append(spot)
        found = (
            self._mapping(Mapping(spot), depth) if isinstance(event, MappingStartEvent) else self._sequence(Sequence(spot), depth)
        )
        if event.flow_style:
            self._unclosed.pop()
        return found

    def _sequence(self, found: Sequence, depth: int) -> Sequence:
        while not isinstance(item := next(self._events), SequenceEndEvent):
            found.items.append(self._node(item, depth + 1))
        return found

    def _content(self, event: NodeEvent, spot: Position, depth: int) -> Tree:
        if isinstance(event, CollectionStartEvent):
            return self._collection(event, spot, depth)
        value = event.value if isinstance(event, ScalarEvent) else ""
        character = unsafe_character(value)
        if character:
            self.report("Invisible or control character", f"The escape here stands for {character}. Remove it.", spot)
        return Scalar(value if getattr(event, "style", None) else Plain(value), spot)

    def _mapping(self, found: Mapping, depth: int) -> Mapping:
        merges: list[tuple[Tree, Position]] = []
        numbers: list[Scalar] = []
        while not isinstance(event := next(self._events), MappingEndEvent):
            key = self._node(event, depth + 1)
            value = self._node(next(self._events), depth + 1)
            if not isinstance(key, Scalar):
                self.report("Key is not a text", "A key is a single word. Write one.", key.spot)
            elif isinstance(key.text, Plain) and is_typed(key.text) and not key.text.isdecimal():
                self.report("Key is not a text", f"`{key.text}` is not a text in YAML. {_KEY_ADVICE}", key.spot)
            elif key.text == "<<" and isinstance(key.text, Plain):
                merges.append((value, key.spot))
            elif key.text in found.items:
                line, column = found.keys[key.text]
                detail = f"`{key.text}` stands already at line {line}, column {column}. Keep one of them."
                self.report("Duplicate key", detail, key.spot)
            else:
                if isinstance(key.text, Plain) and key.text.isdecimal():
                    numbers.append(key)
                found.items[str(key.text)], found.keys[str(key.text)] = value, key.spot
        self._check_numbers(numbers)
        for value, spot in merges:
            self._merge(found, value, spot)
        return found

    def _check_numbers(self, keys: list[Scalar]) -> None:
        """Refuse numbers as keys whose order as texts, by which cloud-init goes then, is another than that of the numbers."""
        width = max((len(key.text) for key in keys), default=0)
        for key in keys:
            if len(key.text) != width:
                detail = (
                    f"Keys are texts, and as a text `{key.text}` may come after a greater number. Write `{key.text:>0{width}}`."
                )
                self.report("Numbers of different length", detail, key.spot)

    def _merge(self, into: Mapping, value: Tree, spot: Position) -> None:
        """What the merge key ``<<`` means (https://yaml.org/type/merge.html): entries that are not there yet."""
        for source in value.items if isinstance(value, Sequence) else (value,):
            if not isinstance(source, Mapping):
                self.report("Nothing to merge", "`<<` takes a mapping by its alias, such as `<<: *defaults`.", spot)
                return
            for key, item in source.items.items():
                if key not in into.items:
                    into.items[key], into.keys[key] = item, source.keys[key]

    def _alias(self, name: str, spot: Position) -> Tree:
        target = self._anchors.get(name)
        if target is None:
            known = "it is inside itself" if name in self._anchors else "no anchor before it has that name"
            self._stop("Unknown alias", f"*{name} cannot be used here: {known}.", spot)
        self._aliases += 1
        self._aliased_nodes += _size(target)
        if self._aliases > ALIASES_MAX or self._aliased_nodes > ALIASED_NODES_MAX:
            limit = f"at most {ALIASES_MAX} aliases that stand for at most {ALIASED_NODES_MAX} values"
            self._stop("Too many aliases", f"A file has {limit}.", spot)
        return target

    def _stop(self, summary: str, detail: str, spot: Position) -> NoReturn:
        raise SpecError.of([*self.problems, self._problem(summary, detail, spot)])

    def _problem(self, summary: str, detail: str, spot: Position) -> Problem:
        where = Where(file=self._file, line=spot[0], column=spot[1])
        return Problem(summary=summary, detail=detail, where=where, quote=quoted_line(self._text, spot[0]))


def _spot(event: DocumentStartEvent | NodeEvent) -> Position:
    return event.start_mark.line + 1, event.start_mark.column + 1


def _size(node: Tree) -> int:
    if isinstance(node, Scalar):
        return 1
    items = node.items.values() if isinstance(node, Mapping) else node.items
    return 1 + sum(_size(item) for item in items)
