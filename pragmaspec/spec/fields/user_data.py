"""cloud-init user-data in the spec: a mapping written there, or the path of a file."""

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
"""What can be merged with what pragmaspec tells a node: as many values, levels and characters of a key as ``guest`` reads."""
_ADDED_TO = {**dict.fromkeys(("bootcmd", "packages", "runcmd", "write_files"), list), **dict.fromkeys(("ssh", "ssh_keys"), dict)}


def user_data() -> ScalarField:
    """A mapping of cloud-init's modules, or a path."""

    def read(value: object) -> dict[str, Any] | str:
        if isinstance(value, dict):
            return value
        if isinstance(value, str) and value and "\n" not in value:
            reject_url(value, "write a path, relative to the file that this stands in")
            return str(value)
        if isinstance(value, str) and value.startswith(HEADER):
            raise value_error("Not user-data", "it is a text here; write a mapping (remove the `|` and the #cloud-config line)")
        raise value_error(
            "Not user-data", f"{value_text(value)} is not; write a mapping of cloud-init's keys, or the path of a file"
        )

    return ScalarField(read, {"anyOf": [{"type": "object"}, {"type": "string", "pattern": r"^[^\n]+$"}]})


def format_problem(data: bytes) -> str | None:
    """The reason why a file is no cloud-config, with what to write instead; None: it is one.

    cloud-init goes by the first line, in any case of letters and after any blanks
    (https://docs.cloud-init.io/en/latest/explanation/format.html).
    """
    begin = data.removeprefix(BOM_UTF8).lstrip().lower()
    if begin.startswith(f"{HEADER}-archive".encode()):
        return "is an archive of several documents. Write them as one, under the line #cloud-config."
    if begin.startswith(_TEMPLATE):
        return f"is a template, and templates are not filled in here. Write the values, under the line {HEADER}."
    if not begin.startswith(HEADER.encode()):
        return f"does not begin with the line {HEADER}. Write scripts under its `runcmd`."
    return None


def wrong_types(document: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The keys of ``document`` that pragmaspec adds to, and that do not hold what it could add to; with what they should hold."""
    for key, kind in _ADDED_TO.items():
        if key in document and not isinstance(document[key], kind):
            yield key, "a list" if kind is list else "a mapping"


def size_problem(document: Mapping[str, Any]) -> str | None:
    """Why ``document`` is too large to be given to a node, and what to do; None: it is not."""
    values, depth, key = _extent(document, 0)
    if values > VALUES_MAX:
        return (
            f"it has {values:,} values, and a node is given {VALUES_MAX:,} at most; put what is large into an image or a package"
        )
    if depth > DEPTH_MAX:
        return f"it is {depth} levels deep, and a node is given {DEPTH_MAX} at most"
    if key > KEY_MAX:
        return f"one of its keys has {key:,} characters, and {KEY_MAX:,} are the most that YAML readers take"
    return None


def _extent(value: object, depth: int) -> tuple[int, int, int]:
    """How many values and keys there are, how deep they go, and the length of the longest key as JSON writes it."""
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
    """``base`` with ``over`` merged in: mappings key by key, lists appended, anything else replaced. Neither is changed."""
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
