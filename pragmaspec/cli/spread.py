"""Sets of options that several commands share, so that each option is described once and stands in every help alike."""

import inspect
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from functools import wraps
from inspect import Parameter
from typing import Any

Command = Callable[..., None]


def spread(command: Command) -> Command:
    """``command`` for typer: each parameter whose type is a dataclass of options becomes those options, in their order."""
    signature = inspect.signature(command)
    sets: dict[str, Any] = {name: each.annotation for name, each in signature.parameters.items() if is_dataclass(each.annotation)}
    written: list[Parameter] = []
    for name, each in signature.parameters.items():
        written += _options(sets[name]) if name in sets else [each]

    @wraps(command)
    def gathered(**given: Any) -> None:  # noqa: ANN401 - typer passes what the signature below asks for
        for name, kind in sets.items():
            given[name] = kind(**{field.name: given.pop(field.name) for field in fields(kind)})
        command(**given)

    gathered.__signature__ = signature.replace(parameters=written)  # type: ignore[attr-defined]  # PEP 362 allows it
    return gathered


def _options(kind: Any) -> list[Parameter]:  # noqa: ANN401 - any dataclass
    return [Parameter(field.name, Parameter.KEYWORD_ONLY, default=field.default, annotation=field.type) for field in fields(kind)]
