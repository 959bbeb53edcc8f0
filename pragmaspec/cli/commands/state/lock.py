"""``state lock show`` and ``state unlock``: the lock of a stack."""

from typing import Annotated

import typer

from pragmaspec.cli.command_group import command_group
from pragmaspec.cli.options import ApproveOption, JsonOption, StackOptions, examples, expand_option_groups
from pragmaspec.cli.terminal.screen import err, out

app = command_group("Show the lock of the state.")


def register(parent: typer.Typer) -> None:
    """Add the commands to ``parent``."""
    parent.add_typer(app, name="lock", epilog=examples("state lock show"))
    parent.command("unlock", epilog=examples("state unlock 0123456789abcdef"))(unlock)


@app.command("show", epilog=examples("state lock show", "state lock show --json"))
@expand_option_groups
def show(*, json: JsonOption = False, stack_options: StackOptions) -> None:
    """Show the holder of the lock, with start time, command, and the ID for `state unlock`."""
    from pragmaspec.report.state_text import holder_json, holder_text

    store = stack_options.stack().store
    holder = store.backend.holder()
    if json:
        out().json(holder_json(holder, store.backend.title))
    else:
        out().write(holder_text(holder, store.backend.title, out().style))


@expand_option_groups
def unlock(
    lock_id: Annotated[str, typer.Argument(metavar="ID", help="The ID of the lock, from `state lock show`.")],
    *,
    auto_approve: ApproveOption = False,
    stack_options: StackOptions,
) -> None:
    """Remove the lock of a dead run.

    If the run is still alive, its next write fails and it stops; its unfinished work is recovered from the site. A directory
    and PostgreSQL release the lock of a dead run automatically.
    """
    from pragmaspec.cli.terminal.confirm import confirm
    from pragmaspec.errors import UsageError
    from pragmaspec.report.state_text import holder_description

    store = stack_options.stack().store
    holder = store.backend.holder()
    if holder is None:
        out().line(f"The lock of {store.backend.title} is free.")
        return
    if holder.id != lock_id:
        detail = f"The lock of {store.backend.title} has the ID {holder.id}: {holder_description(holder)}. Nothing was changed."
        raise UsageError("Different lock ID", detail)
    err().line(f"Removing lock {lock_id} of {store.backend.title}, held by {holder_description(holder)}.")
    err().line("Make sure that this run is dead: otherwise it stops at its next write.")
    if not auto_approve:
        confirm("Remove the lock?", "")
    store.backend.break_lock(lock_id)
    out().line("The lock is free.")
