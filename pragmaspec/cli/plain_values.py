"""Keeps typer from loading pydantic for every command line.

typer 0.29 turns what was typed into values with pydantic, even plain text; that is 0.15 s, more than the rest of a plan without
changes. All our parameters are text, lists of text and flags, so nothing needs turning. Where typer has no such step, or another
one, this does nothing, and a command line only takes longer.
"""

from typing import Any

from typer.core import TyperArgument, TyperOption


class PlainValue:
    """Stands in the place of typer's conversion: text is text, and what may be repeated is a list."""

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:  # noqa: ANN401, ARG002 - typer's call, and its classes have moved about
        """The value that the command's function is given."""
        if param.multiple or param.nargs == -1:
            return list(value or ())
        return value


def keep_plain() -> None:
    """Let every parameter be taken as it was typed, in this process."""
    for kind in (TyperArgument, TyperOption):
        if hasattr(kind, "get_runtime_param"):
            setattr(kind, "get_runtime_param", _plain)  # noqa: B010 - mypy knows neither that it is there nor its type


def _plain(_parameter: object) -> PlainValue:
    return PlainValue()
