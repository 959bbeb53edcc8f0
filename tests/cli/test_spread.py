import inspect
from dataclasses import dataclass
from typing import Annotated

import typer

from pragmaspec.cli.options import AcceptOptions, ChangeOptions, StackOptions, expand_option_groups


@dataclass(frozen=True)
class Two:
    left: Annotated[str, typer.Option("--left")] = "l"
    right: Annotated[bool, typer.Option("--right")] = False


def test_a_set_is_written_out_where_it_stands() -> None:
    seen: list[object] = []

    @expand_option_groups
    def command(name: str, *, before: int = 1, two: Two, after: int = 2) -> None:
        """Its help."""
        seen.append((name, before, two, after))

    parameters = inspect.signature(command).parameters
    assert list(parameters) == ["name", "before", "left", "right", "after"]
    assert parameters["left"].default == "l"
    assert command.__doc__ == "Its help."
    command(name="x", before=3, left="L", right=True, after=4)
    assert seen == [("x", 3, Two(left="L", right=True), 4)]


def test_sets_that_are_used_together_share_no_name() -> None:
    names = [name for kind in (AcceptOptions, ChangeOptions, StackOptions) for name in kind.__dataclass_fields__]
    assert len(names) == len(set(names))
