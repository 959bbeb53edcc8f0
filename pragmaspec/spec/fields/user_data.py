"""Field type of cloud-init user-data: a mapping, or the path of a file. Checks of its form and size."""

import json
from codecs import BOM_UTF8
from collections.abc import Iterator, Mapping
from typing import Any

from pragmaspec.spec.fields.scalars import ScalarField
from pragmaspec.spec.fields.url import reject_url
from pragmaspec.spec.value_errors import value_error, value_text

HEADER = "#cloud-config"
_TEMPLATE = b"## template:"
VALUES_MAX = 20_000
DEPTH_MAX = 40
KEY_MAX = 1000
"""Maximum numbers of values, of levels, and of characters in a key."""
_MERGED_KEYS: Mapping[str, type] = {
    **dict.fromkeys(("bootcmd", "packages", "runcmd", "write_files"), list),
    **dict.fromkeys(("ssh", "ssh_keys"), dict),
}


def user_data() -> ScalarField:
    """Return a field type for a mapping of cloud-init keys, or a path."""

    def read(value: object) -> dict[str, Any] | str:
        if isinstance(value, dict):
            return value
        if isinstance(value, str) and value and "\n" not in value:
            reject_url(value, "write a path relative to the spec")
            return str(value)
        if isinstance(value, str) and value.startswith(HEADER):
            raise value_error("Not user-data", "this is a string; write a mapping (remove the `|` and the #cloud-config line)")
        raise value_error(
            "Not user-data", f"{value_text(value)} is not user-data; write a mapping of cloud-init keys, or the path of a file"
        )

    return ScalarField(read, {"anyOf": [{"type": "object"}, {"type": "string", "pattern": r"^[^\n]+$"}]})


def format_problem(data: bytes) -> str | None:
    """Return why a file is not a cloud-config and what to do, or None if it is one.

    cloud-init recognises the format by the first line, ignoring case and leading whitespace
    (https://docs.cloud-init.io/en/latest/explanation/format.html).
    """
    start = data.removeprefix(BOM_UTF8).lstrip().lower()
    if start.startswith(f"{HEADER}-archive".encode()):
        return f"is an archive of several documents. Combine them into one that begins with {HEADER}."
    if start.startswith(_TEMPLATE):
        return f"is a template, and templates are not rendered. Write the values in a file that begins with {HEADER}."
    if not start.startswith(HEADER.encode()):
        return f"does not begin with the line {HEADER}. Put scripts under `runcmd` of a file that does."
    return None


def wrong_types(document: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the keys of ``document`` that pragmaspec merges with its own but have the wrong type, with the type required."""
    for key, kind in _MERGED_KEYS.items():
        if key in document and not isinstance(document[key], kind):
            yield key, "a list" if kind is list else "a mapping"


def size_problem(document: Mapping[str, Any]) -> str | None:
    """Return a clause why ``document`` is too large for a node, or None if it is not."""
    values, depth, key = _extent(document, 0)
    if values > VALUES_MAX:
        return f"it has {values:,} values, and at most {VALUES_MAX:,} are allowed; move large content to an image or a package"
    if depth > DEPTH_MAX:
        return f"it is nested {depth} levels deep, and at most {DEPTH_MAX} are allowed"
    if key > KEY_MAX:
        return f"one of its keys has {key:,} characters, and YAML readers accept at most {KEY_MAX:,}"
    return None


def _extent(value: object, depth: int) -> tuple[int, int, int]:
    """Return the number of values and keys, the nesting depth, and the length of the longest key in JSON."""
    if isinstance(value, Mapping):
        parts = [_extent(item, depth + 1) for item in value.values()]
        keys, longest = len(value), max((len(json.dumps(key, ensure_ascii=False)) for key in value), default=0)
    elif isinstance(value, list):
        parts, keys, longest = [_extent(item, depth + 1) for item in value], 0, 0
    else:
        return 1, depth, 0
    return (
        1 + keys + sum(part[0] for part in parts),
        max((part[1] for part in parts), default=depth),
        max(longest, *(part[2] for part in parts), 0),
    )


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``base`` with ``over`` merged in: mappings key by key, lists appended, other values replaced."""
    result = dict(base)
    for key, value in over.items():
        before = result.get(key)
        if isinstance(before, Mapping) and isinstance(value, Mapping):
            result[key] = merged(before, value)
        elif isinstance(before, list) and isinstance(value, list):
            result[key] = [*before, *value]
        else:
            result[key] = value
    return result
