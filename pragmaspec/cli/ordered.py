"""Groups of commands in the order in which one meets them."""

import typer
import typer.core


def ordered(*names: str) -> type[typer.core.TyperGroup]:
    """A group that lists its commands as ``names`` has them, and not groups last."""

    class Ordered(typer.core.TyperGroup):
        def list_commands(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]  # click's Context has moved about
            return sorted(super().list_commands(ctx), key=names.index)

    return Ordered
