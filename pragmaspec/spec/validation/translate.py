"""Validates documents with the models, and translates pydantic's errors to findings."""

from collections.abc import Iterable
from typing import Any, Literal, TypeVar, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from pragmaspec.spec.findings import Finding, listed, overlaps
from pragmaspec.spec.validation.locations import (
    ErrorLocation,
    choices_of,
    example_of,
    fields_of,
    flow_yaml,
    locate,
    model_example,
    providers_of,
)
from pragmaspec.spec.value_errors import PART_ERRORS, VALUE_ERROR, value_text
from pragmaspec.spec.yaml.scalars import Plain, is_null
from pragmaspec.spec.yaml.tree import Document, TreePath, iter_scalars, plain_data
from pragmaspec.text import capitalized, did_you_mean

M = TypeVar("M", bound=BaseModel)


_MAPPING_ERRORS = frozenset({"dict_type", "model_type", "model_attributes_type"})
_LIST_ERRORS = frozenset({"tuple_type", "list_type", "set_type", "frozen_set_type"})


def validate(document: Document, model: type[M], found_before: Iterable[Finding] = ()) -> tuple[M | None, tuple[Finding, ...]]:
    """Return ``document`` as a model, and the findings, which include ``found_before``.

    If there are findings, the model contains the valid parts, so that further checks are possible in the same run; None if there
    is no valid part.
    """
    data: Any = plain_data(document.root)
    findings = [*_empty(data, model), *found_before]
    left_out = [finding.path for finding in findings]
    _leave_out(data, left_out)
    left_out += [path for finding in findings for path in finding.about]
    while True:
        try:
            return model.model_validate(data), tuple(findings)
        except ValidationError as error:
            found = [
                finding
                for details in error.errors(include_url=False)
                if not (details["type"] == "too_short" and details["input"])
                for finding in _findings(details, locate(details["loc"], model))
            ]
        findings += [finding for finding in found if not overlaps(finding.path, left_out)]
        if not _leave_out(data, [finding.path for finding in found]):
            return None, tuple(findings)
        left_out += [finding.path for finding in found]


def _empty(data: object, model: type[BaseModel]) -> list[Finding]:
    """Return a finding for every key without a value, except inside user-data, where cloud-init defines the meaning."""
    return [
        _value_missing(path, locate(path, model).field)
        for path, text in iter_scalars(data)
        if isinstance(text, Plain) and is_null(text) and "user_data" not in path[2:4]
    ]


def _value_missing(path: TreePath, field: FieldInfo | None) -> Finding:
    key = str(next((step for step in reversed(path) if isinstance(step, str)), ""))
    word, colon, rest = key.partition(":")
    if colon and rest:
        detail = f"A space must follow the colon of a key: `{word}: …`."
        return Finding(path, "Space missing", detail, at_key=True, about=((*path[:-1], word),))
    advice = "or remove the line"
    if field is not None and field.is_required():
        advice = "or `{}` for none" if get_origin(field.annotation) is dict else f"such as `{key}: {example_of(field)}`"
    return Finding(path, "Value missing", f"`{key}` has no value. Write one, {advice}.", at_key=True)


def _leave_out(data: Any, paths: list[TreePath]) -> bool:  # noqa: ANN401 - a document's data
    """Remove the values at ``paths`` from ``data``. Return False if the whole document would have to be removed."""
    present = [_present(data, path) for path in paths]
    for path in filter(None, present):
        parent = data
        for step in path[:-1]:
            parent = parent.get(step, {})
        parent.pop(path[-1], None)
    return () not in present


def _present(data: object, path: TreePath) -> TreePath:
    """Return the path to remove for ``path``: for a missing key its parent, for an entry of a list the list."""
    found: list[str | int] = []
    for step in path:
        if not isinstance(data, dict) or step not in data:
            break
        found.append(step)
        data = data[step]
    return tuple(found)


def _findings(details: ErrorDetails, place: ErrorLocation) -> tuple[Finding, ...]:
    if details["type"] != PART_ERRORS:
        return (_finding(details, place),)
    return tuple(
        Finding((*place.path, *inside), summary, f"{capitalized(detail)}.") for inside, summary, detail in details["ctx"]["parts"]
    )


def _finding(details: ErrorDetails, place: ErrorLocation) -> Finding:
    kind, value = details["type"], details["input"]
    if kind == VALUE_ERROR:
        context = details["ctx"]
        return Finding(place.path, str(context["summary"]), f"{capitalized(str(context['detail']))}.", at_key=place.at_key)
    if kind == "missing":
        return _missing(place)
    if kind == "extra_forbidden":
        return _unknown_key(place)
    if kind == "literal_error":
        return _invalid_choice(place.path, value, choices_of(place.own))
    if kind.startswith("union_tag"):
        return _invalid_provider(place, value)
    if kind == "too_short":
        return Finding(place.path, "Empty list", f"The list is empty. Write `{example_of(place.field)}`, or remove the line.")
    if kind in _MAPPING_ERRORS or kind in _LIST_ERRORS:
        return _wrong_type(place, value, "a list" if kind in _LIST_ERRORS else "a mapping")
    return Finding(place.path, "Invalid value", f"{capitalized(value_text(value))} is not valid here: {details['msg']}.")


def _missing(place: ErrorLocation) -> Finding:
    key = str(place.path[-1])
    example = example_of(place.siblings.get(key))
    return Finding(place.path, "Key missing", f"`{key}` is required. Write, for example, `{key}: {example}`.")


def _unknown_key(place: ErrorLocation) -> Finding:
    key = str(place.path[-1])
    parents = [name for name, field in place.siblings.items() if key in fields_of(field.annotation)]
    otherwise = f"Valid keys are {listed(place.siblings)}." if len(place.siblings) > 1 else f"Only {listed(place.siblings)} is."
    advice = f"It belongs in {listed(parents, 'or')}." if parents else did_you_mean(key, place.siblings, otherwise, quote="`")
    return Finding(place.path, "Unknown key", f"{value_text(key)} is not a valid key here. {advice}", at_key=True)


def _invalid_choice(path: TreePath, value: object, choices: tuple[str, ...]) -> Finding:
    otherwise = f"Write {listed(choices, 'or')}."
    advice = did_you_mean(value, choices, otherwise, quote="`") if isinstance(value, str) else otherwise
    return Finding(path, "Invalid value", f"{capitalized(value_text(value))} is not valid here. {advice}")


def _invalid_provider(place: ErrorLocation, value: object) -> Finding:
    choices = providers_of(place.own)
    path = (*place.path, "provider")
    if not isinstance(value, dict):
        return _wrong_type(place, value, "a mapping")
    if "provider" in value:
        return _invalid_choice(path, value["provider"], choices)
    return Finding(path, "Key missing", f"`provider` is required. Write, for example, `provider: {choices[0]}`.")


def _wrong_type(place: ErrorLocation, value: object, expected: Literal["a list", "a mapping"]) -> Finding:
    examples = (place.field.examples if place.field else None) or ()
    suitable = [example for example in examples if isinstance(example, list if expected == "a list" else dict)]
    example = flow_yaml(suitable[0]) if suitable else model_example(place.own)
    if expected == "a list" and isinstance(value, str):
        example = f"[{value_text(value).strip('`')}]"
    detail = f"{capitalized(value_text(value))} is not valid here. Write {expected}, such as `{example}`."
    return Finding(place.path, f"Not {expected}", detail)
