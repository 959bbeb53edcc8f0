"""cloud-init's published JSON Schemas (see ``README.md``): violations and deprecations in a cloud-config key."""

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
"""Formats that cloud-init does not check, because values may be templates such as ``https://x/{{ v1.instance_id }}``."""
_FILE = "schema-cloud-config-v1.json"


class SchemaViolation(Frozen, frozen=True):
    """A value that violates the schema. ``rule`` is the violated JSON Schema keyword; other fields depend on it."""

    path: TreePath
    rule: str
    types: tuple[str, ...] = ()
    """``type``: the allowed types."""
    options: tuple[Any, ...] = ()
    """``enum``: the allowed values."""
    names: tuple[str, ...] = ()
    """``required``: the missing key; ``additionalProperties``: the unknown keys."""
    known: tuple[str, ...] = ()
    """``additionalProperties``: the known keys."""
    limit: Any = None
    """``pattern``, ``format``, ``minItems``, ``minimum`` and similar keywords: the keyword's value."""


class Deprecation(Frozen, frozen=True):
    """A deprecated value, with cloud-init's own advice."""

    path: TreePath
    advice: str
    since: str


def known_keys() -> frozenset[str]:
    """Return the top-level keys of the oldest and the newest schema."""
    return frozenset(_keys(NEWEST)) | frozenset(_keys(OLDEST))


def violations_of(key: str, value: object) -> tuple[SchemaViolation, ...]:
    """Return the violations in ``value`` of the known top-level key ``key``; none if either schema accepts it."""
    document = {key: value}
    versions = [version for version in (NEWEST, OLDEST) if key in _keys(version)]
    if any(_validator(version).is_valid(document) for version in versions):
        return ()
    schema, validator = _schema(versions[0]), _validator(versions[0])
    return tuple(dict.fromkeys(_violations(validator.iter_errors(document), schema, document)))


def deprecations_of(key: str, value: object) -> tuple[Deprecation, ...]:
    """Return the deprecations in ``value``, which must have no violations."""
    found = []
    for entry in _validator(NEWEST).evaluate({key: value}).annotations():
        notes = entry["annotations"]
        for kind in ("deprecated", "changed"):
            if isinstance(notes, Mapping) and notes.get(kind) is True:
                advice = str(notes.get(f"{kind}_description", "")).replace("**", "`").replace("``", "`")
                path = _path(_pointer_steps(entry["instanceLocation"]), {key: value})
                found.append(Deprecation(path=path, advice=advice, since=str(notes.get(f"{kind}_version", ""))))
    return tuple(dict.fromkeys(found))


@cache
def _schema(version: str) -> Any:  # noqa: ANN401 - a JSON document
    return json.loads((files("pragmaspec.spec") / "cloud_init" / version / _FILE).read_text(encoding="utf-8"))


@cache
def _validator(version: str) -> "Validator":
    from jsonschema_rs import Draft4Validator  # noqa: PLC0415 - takes 10 ms, and only user-data needs it

    return Draft4Validator(_schema(version), formats=dict.fromkeys(_UNCHECKED_FORMATS, lambda _: True))


@cache
def _keys(version: str) -> frozenset[str]:
    schema = _schema(version)
    parts = [schema["$defs"][part["$ref"].rpartition("/")[2]] for part in schema["allOf"]]
    return frozenset(chain.from_iterable(part.get("properties", {}) for part in (schema, *parts)))


def _violations(errors: Iterable[Any], schema: object, document: object) -> Iterator[SchemaViolation]:
    for error in errors:
        if error.schema_path[-1] in {"oneOf", "anyOf"}:
            yield from _of_alternatives(error, schema, document)
        else:
            yield _violation(error, schema, document)


def _of_alternatives(error: Any, schema: object, document: object) -> Iterator[SchemaViolation]:  # noqa: ANN401 - a ValidationError
    """Yield the violations of the alternative most likely meant, or of several if they reject the value as a whole."""
    path = _path(error.instance_path, document)
    branches = [tuple(_violations(branch, schema, document)) for branch in error.kind.context]
    fitting = [branch for branch in branches if not any(fault.path == path and fault.rule == "type" for fault in branch)]
    best = min(fitting or branches, key=lambda branch: (len(branch), any(fault.rule != "required" for fault in branch)))
    if any(fault.path != path for fault in best):
        yield from best
        return
    kinds = {fault.rule == "required" for fault in best}
    for branch in fitting or branches:
        if all(fault.path == path and (fault.rule == "required") in kinds for fault in branch):
            yield from branch


def _violation(error: Any, schema: object, document: object) -> SchemaViolation:  # noqa: ANN401 - a ValidationError
    rule = str(error.schema_path[-1])
    known: Iterable[str] = ()
    if rule == "additionalProperties":
        part: Any = schema
        for step in error.schema_path[:-1]:
            part = part[step]
        known = part.get("properties", {})
    details = error.kind.as_dict()
    return SchemaViolation(
        path=_path(error.instance_path, document),
        rule=rule,
        types=tuple(details.get("types", ())),
        options=tuple(details.get("options", ())),
        names=tuple(details["unexpected"])
        if "unexpected" in details
        else (details["property"],)
        if "property" in details
        else (),
        known=tuple(known),
        limit=details.get("limit", details.get("pattern", details.get("format"))),
    )


def _path(steps: Iterable[str | int], document: object) -> TreePath:
    """Return ``steps`` as keys and positions that exist in ``document``: the validator reports the key "0" as a position."""
    found: list[str | int] = []
    at: Any = document
    for step in steps:
        found.append(str(step) if isinstance(at, Mapping) else int(step))
        at = at[found[-1]]
    return tuple(found)


def _pointer_steps(pointer: str) -> Iterator[str]:
    """Return the steps of a JSON Pointer (RFC 6901)."""
    return (step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")[1:])
