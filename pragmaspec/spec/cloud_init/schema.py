"""cloud-init's published JSON Schemas (see ``cloud_init/README.md``): the faults and deprecations of one cloud-config key."""

import json
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib.resources import files
from itertools import chain
from typing import TYPE_CHECKING, Any

from pragmaspec.frozen import Frozen
from pragmaspec.spec.yaml.tree import TreePath

if TYPE_CHECKING:
    from jsonschema_rs import Validator

NEWEST, OLDEST = "26.2", "22.4.2"
_UNCHECKED_FORMATS = ("hostname", "uri")
"""Formats that cloud-init does not check; values may be templates, such as ``https://x/{{ v1.instance_id }}``."""
_FILE = "schema-cloud-config-v1.json"


class SchemaViolation(Frozen, frozen=True):
    """A value that the schema refuses. ``rule`` is the JSON Schema keyword that refused it; the other fields depend on it."""

    path: TreePath
    rule: str
    types: tuple[str, ...] = ()
    """``type``: the types that are allowed."""
    options: tuple[Any, ...] = ()
    """``enum``: the values that are allowed."""
    names: tuple[str, ...] = ()
    """``required``: the keys of which one is missing; ``additionalProperties``: the keys that are unknown."""
    known: tuple[str, ...] = ()
    """``additionalProperties``: the keys that are known."""
    limit: Any = None
    """``pattern``, ``format``, ``minItems``, ``minimum`` and the like: the keyword's value."""


class Deprecation(Frozen, frozen=True):
    """A value that cloud-init still takes and advises against, in cloud-init's own words."""

    path: TreePath
    advice: str
    since: str


def known_keys() -> frozenset[str]:
    """The top-level keys that the oldest or the newest schema has."""
    return frozenset(_keys(NEWEST)) | frozenset(_keys(OLDEST))


def violations_of(key: str, value: object) -> tuple[SchemaViolation, ...]:
    """The faults in ``value`` of the known top-level key ``key``: none when either schema accepts it."""
    document = {key: value}
    versions = [version for version in (NEWEST, OLDEST) if key in _keys(version)]
    if any(_validator(version).is_valid(document) for version in versions):
        return ()
    schema, validator = _schema(versions[0]), _validator(versions[0])
    return tuple(dict.fromkeys(_faults(validator.iter_errors(document), schema, document)))


def deprecations_of(key: str, value: object) -> tuple[Deprecation, ...]:
    """The deprecated parts of ``value``, which has no faults."""
    found = []
    for entry in _validator(NEWEST).evaluate({key: value}).annotations():
        notes = entry["annotations"]
        for kind in ("deprecated", "changed"):
            if isinstance(notes, Mapping) and notes.get(kind) is True:
                advice = str(notes.get(f"{kind}_description", "")).replace("**", "`").replace("``", "`")
                path = _path(_pointed(entry["instanceLocation"]), {key: value})
                found.append(Deprecation(path=path, advice=advice, since=str(notes.get(f"{kind}_version", ""))))
    return tuple(dict.fromkeys(found))


@cache
def _schema(version: str) -> Any:  # noqa: ANN401 - a JSON document
    return json.loads((files("pragmaspec.spec") / "cloud_init" / version / _FILE).read_text(encoding="utf-8"))


@cache
def _validator(version: str) -> "Validator":
    from jsonschema_rs import Draft4Validator  # noqa: PLC0415 - 10 ms that specs without user-data do not need

    return Draft4Validator(_schema(version), formats=dict.fromkeys(_UNCHECKED_FORMATS, lambda _: True))


@cache
def _keys(version: str) -> frozenset[str]:
    schema = _schema(version)
    parts = [schema["$defs"][part["$ref"].rpartition("/")[2]] for part in schema["allOf"]]
    return frozenset(chain.from_iterable(part.get("properties", {}) for part in (schema, *parts)))


def _faults(errors: Iterable[Any], schema: object, document: object) -> Iterator[SchemaViolation]:
    for error in errors:
        if error.schema_path[-1] in {"oneOf", "anyOf"}:
            yield from _of_alternatives(error, schema, document)
        else:
            yield _fault(error, schema, document)


def _of_alternatives(error: Any, schema: object, document: object) -> Iterator[SchemaViolation]:  # noqa: ANN401 - a ValidationError
    """The faults of the alternative that was most likely meant; of several when they refuse the value as a whole."""
    path = _path(error.instance_path, document)
    branches = [tuple(_faults(branch, schema, document)) for branch in error.kind.context]
    fitting = [branch for branch in branches if not any(fault.path == path and fault.rule == "type" for fault in branch)]
    best = min(fitting or branches, key=lambda branch: (len(branch), any(fault.rule != "required" for fault in branch)))
    if any(fault.path != path for fault in best):
        yield from best
        return
    kinds = {fault.rule == "required" for fault in best}
    for branch in fitting or branches:
        if all(fault.path == path and (fault.rule == "required") in kinds for fault in branch):
            yield from branch


def _fault(error: Any, schema: object, document: object) -> SchemaViolation:  # noqa: ANN401 - a ValidationError
    rule = str(error.schema_path[-1])
    known: Iterable[str] = ()
    if rule == "additionalProperties":
        part: Any = schema
        for step in error.schema_path[:-1]:
            part = part[step]
        known = part.get("properties", {})
    said = error.kind.as_dict()
    return SchemaViolation(
        path=_path(error.instance_path, document),
        rule=rule,
        types=tuple(said.get("types", ())),
        options=tuple(said.get("options", ())),
        names=tuple(said["unexpected"]) if "unexpected" in said else (said["property"],) if "property" in said else (),
        known=tuple(known),
        limit=said.get("limit", said.get("pattern", said.get("format"))),
    )


def _path(steps: Iterable[str | int], document: object) -> TreePath:
    """``steps`` into ``document`` as the keys and positions that are there: the validator takes the key "0" for a position."""
    found: list[str | int] = []
    at: Any = document
    for step in steps:
        found.append(str(step) if isinstance(at, Mapping) else int(step))
        at = at[found[-1]]
    return tuple(found)


def _pointed(pointer: str) -> Iterator[str]:
    """The steps of a JSON Pointer (RFC 6901)."""
    return (step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")[1:])
