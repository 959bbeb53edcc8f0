"""A YAML writer whose output YAML 1.1 readers, such as cloud-init's, and YAML 1.2 readers interpret alike.

A string is quoted unless every reader takes it for a string.
"""

import re
from collections.abc import Iterator, Mapping, Sequence

Yaml = str | bool | int | float | Sequence["Yaml"] | Mapping[str, "Yaml"] | None

_SIMPLE_KEY_MAX = 1000
"""YAML allows at most 1024 characters if the colon follows on the same line."""

_PLAIN = re.compile(r"[A-Za-z/][A-Za-z0-9/_.@-]*")
_WORDS = frozenset({"true", "false", "yes", "no", "on", "off", "null", "y", "n"})
"""Words that YAML 1.1 does not read as strings."""
_BLOCK = re.compile(r"[!-~][\t -~]*(\n+[\t -~]+)*\n?")
_ESCAPED = re.compile(r'[^ -~]|["\\]')
_SHORT_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}


def yaml_text(document: Mapping[str, Yaml]) -> str:
    """Return ``document`` in block style, with its keys in their order and a final newline."""
    return "\n".join(_lines(document)) + "\n"


def _lines(value: Yaml) -> list[str]:
    """Return the lines of ``value``: below its key for mappings and sequences, the first one beside it for scalars."""
    if isinstance(value, Mapping):
        return [line for key, item in value.items() for line in _pair(_scalar(key), item)] or ["{}"]
    if isinstance(value, str) and "\n" in value and _BLOCK.fullmatch(value):
        return [
            "|" if value.endswith("\n") else "|-",
            *(f"  {line}" if line else "" for line in value.removesuffix("\n").split("\n")),
        ]
    if isinstance(value, str | int | float) or value is None:
        return [_scalar(value)]
    return [line for item in value for line in _item(item)] or ["[]"]


def _pair(key: str, value: Yaml) -> Iterator[str]:
    if len(key) <= _SIMPLE_KEY_MAX:
        yield from _entry(f"{key}:", value)
    else:
        yield f"? {key}"
        yield from _entry(":", value)


def _entry(head: str, value: Yaml) -> Iterator[str]:
    lines = _lines(value)
    if isinstance(value, Mapping | Sequence) and not isinstance(value, str) and value:
        yield head
        yield from (f"  {line}" if line else "" for line in lines)
    else:
        yield f"{head} {lines[0]}"
        yield from lines[1:]


def _item(value: Yaml) -> Iterator[str]:
    first, *rest = _lines(value)
    yield f"- {first}"
    yield from (f"  {line}" if line else "" for line in rest)


def _scalar(value: str | float | None) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    if _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
        return value
    # The common case first: compressed files of large clusters are a million characters long.
    clean = value.isascii() and value.isprintable() and '"' not in value and "\\" not in value
    return f'"{value if clean else _ESCAPED.sub(_escape, value)}"'


def _escape(found: re.Match[str]) -> str:
    character = found.group()
    if character in _SHORT_ESCAPES:
        return _SHORT_ESCAPES[character]
    return f"\\u{ord(character):04x}" if character <= "\uffff" else f"\\U{ord(character):08x}"
