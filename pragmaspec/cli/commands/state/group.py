"""``state``: looking at what is recorded. Changing it is `state_edit`'s, moving it elsewhere `state_move`'s."""

import typer

from pragmaspec.cli.app import ordered_group
from pragmaspec.cli.commands.state import edit as state_edit
from pragmaspec.cli.commands.state import lock as state_lock
from pragmaspec.cli.commands.state import transfer as state_move
from pragmaspec.cli.options import AddressArgument, JsonOption, StackOptions, examples, expand_option_groups
from pragmaspec.cli.terminal.screen import out

app = typer.Typer(
    cls=ordered_group("list", "show", "mv", "rm", "pull", "push", "history", "restore", "migrate", "lock", "unlock"),
    help="Look at the recorded state, correct it, or keep it elsewhere.",
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


for _part in (state_edit, state_move, state_lock):
    _part.register(app)


def register(parent: typer.Typer) -> None:
    """Put the commands into ``parent``."""
    lines = ("state list", "state mv hello world", "state migrate s3://bucket/hello")
    parent.add_typer(app, name="state", epilog=examples(*lines))


@app.command("list", epilog=examples("state list", "state list --json"))
@expand_option_groups
def list_(*, json: JsonOption = False, which: StackOptions) -> None:
    """What is recorded, one line each. Reads only the state."""
    from pragmaspec.report.state_text import state_json, state_text

    with which.stack() as stack:
        state, title = stack.state(), stack.store.ground.title
    if json:
        out().json(state_json(state, title))
    else:
        out().write(state_text(state, title, out().pen))


@app.command("show", epilog=examples("state show hello-frontend", "state show lab/hello/allocation --json"))
@expand_option_groups
def show(
    address: AddressArgument,
    *,
    json: JsonOption = False,
    which: StackOptions,
) -> None:
    """All that is recorded of one thing. Says also what identifies it at its site."""
    from pragmaspec.report.lists_text import image_names
    from pragmaspec.report.state_text import recorded_json, recorded_text
    from pragmaspec.stack.lookup import find_record

    state = which.stack().state()
    record = find_record(state, address)
    if json:
        out().json({"kind": "record", "format": 1, "record": recorded_json(record, state.lineage)})
    else:
        out().write(recorded_text(record, state.lineage, image_names(state), out().pen))


@app.command("pull", epilog=examples("state pull > state.json"))
@expand_option_groups
def pull(*, which: StackOptions) -> None:
    """Print the state in clear.

    With what an unfinished run added: a copy to keep, or to edit and push.
    """
    out().write(which.stack().store.pull())


@app.command("history", epilog=examples("state history", "state history --json"))
@expand_option_groups
def history(*, json: JsonOption = False, which: StackOptions) -> None:
    """The kept versions of the state, newest first."""
    from pragmaspec.report.state_text import history_json, history_text

    store = which.stack().store
    versions, title = store.history(), store.ground.title
    if json:
        out().json(history_json(versions, title))
    else:
        out().write(history_text(versions, title, out().pen))
