"""``show``: print one record."""

import typer

from pragmaspec.cli.options import AddressArgument, JsonOption, StackOptions, examples, expand_option_groups
from pragmaspec.cli.terminal.screen import out


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command(
        "show", epilog=examples("show hello-frontend", "show lab/hello/allocation --json", "show lab/volume/hello-frontend-home")
    )(show)


@expand_option_groups
def show(
    address: AddressArgument,
    *,
    json: JsonOption = False,
    stack_options: StackOptions,
) -> None:
    """Show the record of a node, allocation, image or volume."""
    from pragmaspec.report.json_forms import record_json
    from pragmaspec.report.lists_text import image_names
    from pragmaspec.report.state_text import show_text
    from pragmaspec.stack.lookup import find_record

    state = stack_options.stack().state()
    record = find_record(state, address)
    if json:
        out().json({"kind": "record", "format": 1, "record": record_json(record)})
    else:
        out().write(show_text(record, image_names(state), out().style))
