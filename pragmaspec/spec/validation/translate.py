"""Whether a document has the shape of a model: keys, kinds of values, choices. All findings at once, in words for people."""

from typing import Any, TypeVar, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from pragmaspec.spec.findings import Finding, closest_match, listed, overlaps
from pragmaspec.spec.validation.locations import (
    ErrorLocation,
    choices_of,
    example_of,
    fields_of,
    locate,
    model_example,
    providers_of,
)
from pragmaspec.spec.value_errors import PART_ERRORS, VALUE_ERROR, value_text
from pragmaspec.spec.yaml.scalars import Plain, is_null
from pragmaspec.spec.yaml.tree import Document, TreePath, iter_scalars, plain_data

M = TypeVar("M", bound=BaseModel)


def validate(document: Document, model: type[M]) -> tuple[M | None, tuple[Finding, ...]]:
    """The model in ``document``, and what is wrong.

    With findings, the model is what remains when everything wrong is left out, so that more can be checked in the same run;
    None when nothing remains.
    """
    data: Any = plain_data(document.root)
    findings = _empty(data, model)
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
    """A finding for every key without a value; inside user-data (of a cluster or a role) that is cloud-init's business."""
    return [
        _value_missing(path, locate(path, model).field)
        for path, text in iter_scalars(data)
        if isinstance(text, Plain) and is_null(text) and "user_data" not in path[2:4]
    ]


def _value_missing(path: TreePath, field: FieldInfo | None) -> Finding:
    key = str(next((step for step in reversed(path) if isinstance(step, str)), ""))
    word, colon, rest = key.partition(":")
    if colon and rest:
        detail = f"After the colon of a key comes a blank: `{word}: …`."
        return Finding(path, "Blank missing", detail, at_key=True, about=((*path[:-1], word),))
    advice = "or remove the line"
    if field is not None and field.is_required():
        advice = "or `{}` for nothing" if get_origin(field.annotation) is dict else f"such as `{key}: {example_of(field)}`"
    return Finding(path, "Value missing", f"`{key}` has no value. Write one, {advice}.", at_key=True)


def _leave_out(data: Any, paths: list[TreePath]) -> bool:  # noqa: ANN401 - a document's data
    """Take what is at ``paths`` out of ``data``; whether that was possible for all of them."""
    present = [_present(data, path) for path in paths]
    for path in filter(None, present):
        parent = data
        for step in path[:-1]:
            parent = parent.get(step, {})
        parent.pop(path[-1], None)
    return () not in present


def _present(data: object, path: TreePath) -> TreePath:
    """What to leave out for ``path``: a missing key takes its parent along, an entry its list."""
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
        Finding((*place.path, *inside), summary, _sentence(detail)) for inside, summary, detail in details["ctx"]["parts"]
    )


def _finding(details: ErrorDetails, place: ErrorLocation) -> Finding:
    kind, value = details["type"], details["input"]
    if kind == VALUE_ERROR:
        context = details["ctx"]
        return Finding(place.path, str(context["summary"]), _sentence(str(context["detail"])), at_key=place.at_key)
    if kind == "missing":
        return _missing(place)
    if kind == "extra_forbidden":
        return _unknown_key(place)
    if kind == "literal_error":
        return _unknown_choice(place.path, value, choices_of(place.own))
    if kind.startswith("union_tag"):
        return _unknown_provider(place, value)
    if kind == "too_short":
        return Finding(place.path, "Empty list", f"Write {example_of(place.field)}, or remove the line.")
    return _unknown_kind(place, value, "a list" if kind == "tuple_type" else "a mapping")


def _missing(place: ErrorLocation) -> Finding:
    key = str(place.path[-1])
    example = example_of(place.siblings.get(key))
    return Finding(place.path, "Key missing", f"`{key}` is needed here. Write, for example, `{key}: {example}`.")


def _unknown_key(place: ErrorLocation) -> Finding:
    key = str(place.path[-1])
    close = closest_match(key, place.siblings)
    homes = [name for name, field in place.siblings.items() if key in fields_of(field.annotation)]
    if homes:
        advice = f"It belongs in {listed(homes, 'or')}."
    elif close:
        advice = f"Did you mean `{close}`?"
    else:
        advice = f"Here may stand {listed(place.siblings, 'or')}."
    return Finding(place.path, "Unknown key", f"{_shown(key)} is not known here. {advice}", at_key=True)


def _unknown_choice(path: TreePath, value: object, choices: tuple[str, ...]) -> Finding:
    close = closest_match(value, choices) if isinstance(value, str) else None
    advice = f"Did you mean `{close}`?" if close else f"Write {listed(choices, 'or')}."
    return Finding(path, "Unknown choice", f"{_shown(value)} is not a choice here. {advice}")


def _unknown_provider(place: ErrorLocation, value: object) -> Finding:
    choices = providers_of(place.own)
    path = (*place.path, "provider")
    if not isinstance(value, dict):
        return _unknown_kind(place, value, "a mapping")
    if "provider" in value:
        return _unknown_choice(path, value["provider"], choices)
    return Finding(path, "Key missing", f"`provider` is needed here. Write, for example, `provider: {choices[0]}`.")


def _unknown_kind(place: ErrorLocation, value: object, wanted: str) -> Finding:
    example = example_of(place.field) or model_example(place.own)
    if wanted == "a list" and isinstance(value, str):
        example = f"[{value_text(value).strip('`')}]"
    return Finding(place.path, f"Not {wanted}", f"{_shown(value)} does not fit here. Write {wanted}, such as `{example}`.")


def _shown(value: object) -> str:
    text = value_text(value)
    return text[0].upper() + text[1:]


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:] + "."
