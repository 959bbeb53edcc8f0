"""``show``."""

from typing import TYPE_CHECKING, Annotated

import typer

from pragmaspec.cli.complete import addresses
from pragmaspec.cli.options import JsonOption, SpecOption, StateOption, examples
from pragmaspec.cli.screen import out

if TYPE_CHECKING:
    from pragmaspec.recorded import Record, State


def register(app: typer.Typer) -> None:
    """Put the command into ``app``."""
    app.command("show", epilog=examples("show hello-frontend", "show lab/hello/allocation --json"))(show)


def show(
    address: Annotated[
        str, typer.Argument(metavar="ADDRESS", help="An address, or the name of a node.", autocompletion=addresses)
    ],
    *,
    json: JsonOption = False,
    spec: SpecOption = None,
    state_dir: StateOption = None,
) -> None:
    """Show all that is recorded of one node, allocation or image."""
    from pragmaspec.report.forms import record_form
    from pragmaspec.report.lists import image_names
    from pragmaspec.report.show_text import show_text
    from pragmaspec.stack.stack import Stack

    state = Stack(spec, state=state_dir).state()
    record = _record(state, address)
    if json:
        out().json({"kind": "record", "format": 1, "record": record_form(record)})
    else:
        out().write(show_text(record, image_names(state), out().pen))


def _record(state: "State", address: str) -> "Record":
    """The record at ``address``; a node or image may be called by its name, an allocation by its cluster."""
    from pragmaspec.errors import Problem, UsageError
    from pragmaspec.report.plan_rows import subject

    found = state.record(address)
    if found is not None:
        return found
    named = [record for record in state.records if subject(record.resource) == address]
    if len(named) == 1:
        return named[0]
    if named:
        choices = ", ".join(record.address for record in named)
        raise UsageError(Problem(summary="Several things have this name", detail=f"{address} may be {choices}."))
    raise UsageError(
        Problem(
            summary="Nothing has this address",
            detail=f"{address} is not recorded. `pragmaspec list cluster` shows what is; an address is written "
            "SITE/CLUSTER/node/NAME, SITE/CLUSTER/allocation or SITE/image/DIGEST.",
        )
    )
