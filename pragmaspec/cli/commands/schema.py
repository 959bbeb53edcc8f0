"""``schema``: print the JSON Schema of specs or sites files."""

from typing import Annotated

import typer

from pragmaspec.cli.options import examples
from pragmaspec.cli.terminal.screen import out


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command("schema", epilog=examples("schema > pragmaspec.schema.json", "schema --sites"))(schema)


def schema(*, sites: Annotated[bool, typer.Option("--sites", help="Print the schema of sites.yaml instead.")] = False) -> None:
    """Print the JSON Schema (2020-12) of the spec."""
    from pragmaspec.spec.json_schema import schema_text, sites_schema_text

    out().write(sites_schema_text(installed=True) if sites else schema_text(installed=True))
