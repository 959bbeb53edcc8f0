"""cloud-init user-data in the spec: a mapping written there, or the path of a file."""

from collections.abc import Iterator, Mapping
from typing import Any

from pragmaspec.spec.scalars import Scalar
from pragmaspec.spec.wrong import shown, wrong

HEADER = "#cloud-config"
_ADDED_TO = {**dict.fromkeys(("bootcmd", "packages", "runcmd", "write_files"), list), **dict.fromkeys(("ssh", "ssh_keys"), dict)}


def user_data() -> Scalar:
    """A mapping of cloud-init's modules, or a path."""

    def read(value: object) -> dict[str, Any] | str:
        if isinstance(value, dict):
            return value
        if isinstance(value, str) and value and "\n" not in value:
            return str(value)
        if isinstance(value, str) and value.startswith(HEADER):
            raise wrong("Not user-data", "it is a text here; write a mapping (remove the `|` and the #cloud-config line)")
        raise wrong("Not user-data", f"{shown(value)} is not; write a mapping of cloud-init's keys, or the path of a file")

    return Scalar(read, {"anyOf": [{"type": "object"}, {"type": "string", "pattern": r"^[^\n]+$"}]})


def wrong_kinds(document: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The keys of ``document`` that pragmaspec adds to, and that do not hold what it could add to; with what they should hold."""
    for key, kind in _ADDED_TO.items():
        if key in document and not isinstance(document[key], kind):
            yield key, "a list" if kind is list else "a mapping"


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
