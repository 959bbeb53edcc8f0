"""What the models know of a place: which keys may stand there, and what they mean."""

import types
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from pragmaspec.spec.yaml.tree import TreePath


@dataclass(frozen=True)
class ErrorLocation:
    """Where a validation error is: the ``path`` a person would name, and the annotations of its parent and of itself."""

    path: TreePath
    parent: Any
    own: Any
    at_key: bool = False
    field: FieldInfo | None = None

    @property
    def siblings(self) -> dict[str, FieldInfo]:
        """The keys that may stand beside the last of ``path``."""
        return fields_of(self.parent)


def locate(loc: TreePath, model: type[BaseModel]) -> ErrorLocation:
    """The place that pydantic's ``loc`` means: without the tags of discriminated unions and its mark for keys."""
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
        own = field.annotation if field else _inside(own)
    return ErrorLocation(tuple(path), parent, own, field=field)


def fields_of(annotation: Any) -> dict[str, FieldInfo]:  # noqa: ANN401 - any annotation a model can have
    """The keys of the model (or of all models) that ``annotation`` allows, as they are written."""
    found: dict[str, FieldInfo] = {}
    for member in _members(annotation):
        if isinstance(member, type) and issubclass(member, BaseModel):
            for name, field in member.model_fields.items():
                found.setdefault(field.alias or name, field)
    return found


def choices_of(annotation: Any) -> tuple[str, ...]:  # noqa: ANN401
    """The words that a Literal in ``annotation`` allows."""
    return tuple(str(word) for member in _members(annotation) if get_origin(member) is Literal for word in get_args(member))


def example_of(field: FieldInfo | None) -> str | None:
    """The first example of ``field``, as it would be written on one line."""
    return flow_yaml(field.examples[0]) if field and field.examples else None


def model_example(annotation: Any) -> str:  # noqa: ANN401
    """A small example of the model that ``annotation`` allows: its required keys, or its first."""
    fields = {key: field for key, field in fields_of(annotation).items() if field.examples}
    needed = {key: field for key, field in fields.items() if field.is_required()} or dict(list(fields.items())[:1])
    return flow_yaml({key: field.examples[0] for key, field in needed.items() if field.examples})


def providers_of(annotation: Any) -> tuple[str, ...]:  # noqa: ANN401
    """The values of ``provider`` that tell the members of the union ``annotation`` apart."""
    return tuple(word for member in _members(annotation) for word in choices_of(fields_of(member)["provider"].annotation))


def flow_yaml(value: object) -> str:
    """``value`` as YAML on one line."""
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


def _inside(annotation: Any) -> Any:  # noqa: ANN401
    """What a mapping or list in ``annotation`` holds."""
    for member in _members(annotation):
        arguments = get_args(member)
        if get_origin(member) is dict:
            return arguments[1]
        if get_origin(member) is tuple:
            return arguments[0]
    return None


def _tagged(annotation: Any, step: str | int) -> Any:  # noqa: ANN401
    """The member of a union that is told apart by ``provider: <step>``, or None."""
    members = list(_members(annotation))
    if len(members) > 1:
        for member in members:
            if step in choices_of(fields_of(member)["provider"].annotation if "provider" in fields_of(member) else None):
                return member
    return None
