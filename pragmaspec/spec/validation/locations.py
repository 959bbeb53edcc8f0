"""Maps pydantic's error locations to paths in the document, and describes the models at these locations."""

import types
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from pragmaspec.spec.yaml.tree import TreePath


@dataclass(frozen=True)
class ErrorLocation:
    """The location of a validation error: its ``path`` in the document, and the annotations of its parent and itself."""

    path: TreePath
    parent: Any
    own: Any
    at_key: bool = False
    field: FieldInfo | None = None

    @property
    def siblings(self) -> dict[str, FieldInfo]:
        """The valid keys in the mapping that contains the last key of ``path``."""
        return fields_of(self.parent)


def locate(loc: TreePath, model: type[BaseModel]) -> ErrorLocation:
    """Return the location that corresponds to pydantic's ``loc``, which includes tags of unions and a marker of keys."""
    path: list[str | int] = []
    parent: Any = None
    own: Any = model
    field: FieldInfo | None = None
    for step in loc:
        if step == "[key]":
            return ErrorLocation(tuple(path), parent, own, at_key=True)
        tagged = _tagged(own, step)
        if tagged:
            own = tagged
            continue
        path.append(step)
        parent, field = own, fields_of(own).get(str(step))
        own = field.annotation if field else _item_type(own)
    return ErrorLocation(tuple(path), parent, own, field=field)


def fields_of(annotation: Any) -> dict[str, FieldInfo]:  # noqa: ANN401 - any annotation of a model's field
    """Return the fields of the models that ``annotation`` allows, by key."""
    found: dict[str, FieldInfo] = {}
    for member in _members(annotation):
        if isinstance(member, type) and issubclass(member, BaseModel):
            for name, field in member.model_fields.items():
                found.setdefault(field.alias or name, field)
    return found


def choices_of(annotation: Any) -> tuple[str, ...]:  # noqa: ANN401
    """Return the values that a Literal in ``annotation`` allows."""
    return tuple(str(word) for member in _members(annotation) if get_origin(member) is Literal for word in get_args(member))


def example_of(field: FieldInfo | None) -> str | None:
    """Return the first example of ``field`` as YAML on one line."""
    return flow_yaml(field.examples[0]) if field and field.examples else None


def model_example(annotation: Any) -> str:  # noqa: ANN401
    """Return a short example of the model that ``annotation`` allows: its required keys, or its first key."""
    fields = {key: field for key, field in fields_of(annotation).items() if field.examples}
    needed = {key: field for key, field in fields.items() if field.is_required()} or dict(list(fields.items())[:1])
    return flow_yaml({key: field.examples[0] for key, field in needed.items() if field.examples})


def providers_of(annotation: Any) -> tuple[str, ...]:  # noqa: ANN401
    """Return the values of ``provider`` that discriminate the members of the union ``annotation``."""
    return tuple(word for member in _members(annotation) for word in choices_of(fields_of(member)["provider"].annotation))


def flow_yaml(value: object) -> str:
    """Return ``value`` as YAML on one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {flow_yaml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(flow_yaml(item) for item in value) + "]"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _members(annotation: Any) -> Iterator[Any]:  # noqa: ANN401
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from _members(get_args(annotation)[0])
    elif origin in (Union, types.UnionType):
        for member in get_args(annotation):
            yield from _members(member)
    else:
        yield annotation


def _item_type(annotation: Any) -> Any:  # noqa: ANN401
    """Return the type of the items of a mapping or list in ``annotation``, or None."""
    for member in _members(annotation):
        arguments = get_args(member)
        if get_origin(member) is dict:
            return arguments[1]
        if get_origin(member) is tuple:
            return arguments[0]
    return None


def _tagged(annotation: Any, step: str | int) -> Any:  # noqa: ANN401
    """Return the member of a discriminated union with ``provider: <step>``, or None."""
    members = list(_members(annotation))
    if len(members) > 1:
        for member in members:
            if step in choices_of(fields_of(member)["provider"].annotation if "provider" in fields_of(member) else None):
                return member
    return None
