"""``show``."""

import typer

from pragmaspec.cli.options import AddressArgument, JsonOption, Which, examples
from pragmaspec.cli.screen import out
from pragmaspec.cli.spread import spread


def register(app: typer.Typer) -> None:
    """Put the command into ``app``."""
    app.command("show", epilog=examples("show hello-frontend", "show lab/hello/allocation --json"))(show)


@spread
def show(
    address: AddressArgument,
    *,
    json: JsonOption = False,
    which: Which,
) -> None:
    """Show all that is recorded of one node, allocation or image."""
    from pragmaspec.report.forms import record_form
    from pragmaspec.report.lists import image_names
    from pragmaspec.report.show_text import show_text
    from pragmaspec.stack.naming import find_record

    state = which.stack().state()
    record = find_record(state, address)
    if json:
        out().json({"kind": "record", "format": 1, "record": record_form(record)})
    else:
        out().write(show_text(record, image_names(state), out().pen))
