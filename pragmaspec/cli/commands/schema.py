"""``schema``."""

from typing import Annotated

import typer

from pragmaspec.cli.options import examples
from pragmaspec.cli.terminal.screen import out


def register(app: typer.Typer) -> None:
    """Put the command into ``app``."""
    app.command("schema", epilog=examples("schema > pragmaspec.schema.json", "schema --sites"))(schema)


def schema(
    *, sites: Annotated[bool, typer.Option("--sites", help="The schema of sites.yaml instead of the spec's.")] = False
) -> None:
    """Print the JSON Schema (2020-12) of the spec."""
    from pragmaspec.spec.json_schema import schema_text, sites_schema_text

    out().write(sites_schema_text() if sites else schema_text())
