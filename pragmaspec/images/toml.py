"""Tables as TOML 1.0 text, keys in the order they have: the standard library reads TOML and does not write it."""

import json
from collections.abc import Iterator, Mapping
from datetime import date, datetime, time
from typing import Any


def toml_text(table: Mapping[str, Any], *path: str) -> str:
    """``table`` under the header ``[path]`` (none: at the top), its tables after its values."""
    return "\n".join(_lines(table, path)) + "\n"


def _lines(table: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[str]:
    values = {key: value for key, value in table.items() if not isinstance(value, Mapping)}
    if path and (values or len(values) == len(table)):
        yield f"[{'.'.join(map(_key, path))}]"
    for key, value in values.items():
        yield f"{_key(key)} = {_value(value)}"
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield ""
            yield from _lines(value, (*path, key))


def _key(text: str) -> str:
    bare = bool(text) and all(letter.isascii() and (letter.isalnum() or letter in "-_") for letter in text)
    return text if bare else _string(text)


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{_key(key)} = {_value(each)}' for key, each in value.items())}}}"
    return _string(str(value))


def _string(text: str) -> str:
    """A basic string: JSON's escapes, of which TOML knows all but the escaped slash, which is never written."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
