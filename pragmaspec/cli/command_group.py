"""Command groups with a fixed order of commands."""

import typer
import typer.core

from pragmaspec.typing import override

CONTEXT_SETTINGS = {"help_option_names": ["-h", "--help"]}


def command_group(help_: str, *names: str) -> typer.Typer:
    """Return a group with the summary ``help_``. It lists its commands in the order of ``names``, by default as registered."""
    return typer.Typer(help=help_, cls=ordered_group(*names), rich_markup_mode=None, context_settings=CONTEXT_SETTINGS)


def ordered_group(*names: str) -> type[typer.core.TyperGroup]:
    """Return a group class that lists its commands in the order of ``names``, nested groups included."""
    if not names:
        return typer.core.TyperGroup

    class OrderedGroup(typer.core.TyperGroup):
        @override
        def list_commands(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]  # click's Context has several homes
            return sorted(super().list_commands(ctx), key=names.index)

    return OrderedGroup
