"""YAML for cloud-init, written so that YAML 1.1 readers (cloud-init's is one) and YAML 1.2 readers read the same.

Text is always a string to the reader: it is quoted unless nothing else can be meant by it. Only :class:`Verbatim` text, which
somebody wrote as a plain scalar, stays plain and means what the reader makes of it.
"""

import re
from collections.abc import Iterator, Mapping, Sequence


class Verbatim(str):
    """A plain scalar from a user's document (``yes``, ``0644``, ``1:30``): written back as it was, never typed here."""

    __slots__ = ()


Yaml = str | bool | int | Sequence["Yaml"] | Mapping[str, "Yaml"] | None

_LONGEST_SIMPLE_KEY = 1000
"""YAML allows 1024 characters where the colon follows on the same line."""

_PLAIN = re.compile(r"[A-Za-z/][A-Za-z0-9/_.@-]*")
_WORDS = frozenset({"true", "false", "yes", "no", "on", "off", "null", "y", "n"})
"""What YAML 1.1 takes for something other than text."""
_BLOCK = re.compile(r"[!-~][\t -~]*(\n+[\t -~]+)*\n?")
_ESCAPED = re.compile(r'[^ -~]|["\\]')
_SHORT = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}


def yaml_text(document: Mapping[str, Yaml]) -> str:
    """``document`` in block style, keys in their own order, with a line end."""
    return "\n".join(_lines(document)) + "\n"


def _lines(value: Yaml) -> list[str]:
    """``value`` as lines that belong below (mapping, sequence) or beside (scalar: the first) what names it."""
    if isinstance(value, Mapping):
        return [line for key, item in value.items() for line in _pair(_scalar(key), item)] or ["{}"]
    if isinstance(value, str) and not isinstance(value, Verbatim) and "\n" in value and _BLOCK.fullmatch(value):
        return [
            "|" if value.endswith("\n") else "|-",
            *(f"  {line}" if line else "" for line in value.removesuffix("\n").split("\n")),
        ]
    if isinstance(value, str | int) or value is None:
        return [_scalar(value)]
    return [line for item in value for line in _item(item)] or ["[]"]


def _pair(key: str, value: Yaml) -> Iterator[str]:
    if len(key) <= _LONGEST_SIMPLE_KEY:
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


def _scalar(value: str | int | None) -> str:
    if value is None:
        return "null"
    if isinstance(value, Verbatim):
        return value or "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
        return value
    # The common case apart: packed files are a million characters long in large clusters.
    clean = value.isascii() and value.isprintable() and '"' not in value and "\\" not in value
    return f'"{value if clean else _ESCAPED.sub(_escape, value)}"'


def _escape(found: re.Match[str]) -> str:
    character = found.group()
    if character in _SHORT:
        return _SHORT[character]
    return f"\\u{ord(character):04x}" if character <= "\uffff" else f"\\U{ord(character):08x}"
