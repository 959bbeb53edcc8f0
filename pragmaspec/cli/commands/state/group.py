"""``state``: the group, and the commands that read the state: ``list``, ``show``, ``pull`` and ``history``."""

import typer

from pragmaspec.cli.command_group import command_group
from pragmaspec.cli.commands.state import edit, lock, transfer
from pragmaspec.cli.options import AddressArgument, JsonOption, StackOptions, examples, expand_option_groups
from pragmaspec.cli.terminal.screen import out

app = command_group(
    "Show, edit, restore and migrate the recorded state.",
    *("list", "show", "mv", "rm", "pull", "push", "history", "restore", "migrate", "lock", "unlock"),
)
for _module in (edit, transfer, lock):
    _module.register(app)


def register(parent: typer.Typer) -> None:
    """Add the group to ``parent``."""
    lines = ("state list", "state mv hello world", "state migrate s3://bucket/hello")
    parent.add_typer(app, name="state", epilog=examples(*lines))


@app.command("list", epilog=examples("state list", "state list --json"))
@expand_option_groups
def list_(*, json: JsonOption = False, stack_options: StackOptions) -> None:
    """List all records, one per line. Reads only the state."""
    from pragmaspec.report.state_text import state_json, state_text

    with stack_options.stack() as stack:
        state, title = stack.state(), stack.store.backend.title
    if json:
        out().json(state_json(state, title))
    else:
        out().write(state_text(state, title, out().style))


@app.command("show", epilog=examples("state show hello-frontend", "state show lab/hello/allocation --json"))
@expand_option_groups
def show(
    address: AddressArgument,
    *,
    json: JsonOption = False,
    stack_options: StackOptions,
) -> None:
    """Show a record, including its identity at the site."""
    from pragmaspec.report.lists_text import image_names
    from pragmaspec.report.state_text import recorded_json, recorded_text
    from pragmaspec.stack.lookup import find_record

    state = stack_options.stack().state()
    record = find_record(state, address)
    if json:
        out().json({"kind": "record", "format": 1, "record": recorded_json(record, state.lineage)})
    else:
        out().write(recorded_text(record, state.lineage, image_names(state), out().style))


@app.command("pull", epilog=examples("state pull > state.json"))
@expand_option_groups
def pull(*, stack_options: StackOptions) -> None:
    """Print the state, unencrypted.

    Includes the changes of an unfinished run. Use it as a backup, or to edit and push it.
    """
    from pragmaspec.state import transfer

    out().write(transfer.pull(stack_options.stack().store))


@app.command("history", epilog=examples("state history", "state history --json"))
@expand_option_groups
def history(*, json: JsonOption = False, stack_options: StackOptions) -> None:
    """List the stored versions of the state, newest first."""
    from pragmaspec.report.state_text import history_json, history_text

    store = stack_options.stack().store
    versions, title = store.backend.history(), store.backend.title
    if json:
        out().json(history_json(versions, title))
    else:
        out().write(history_text(versions, title, out().style))
