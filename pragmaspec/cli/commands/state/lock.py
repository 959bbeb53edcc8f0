"""``state lock show`` and ``state unlock``."""

from typing import Annotated

import typer

from pragmaspec.cli.options import ApproveOption, JsonOption, StackOptions, examples, expand_option_groups
from pragmaspec.cli.terminal.screen import err, out

app = typer.Typer(
    help="Who holds the lock on the state.", rich_markup_mode=None, context_settings={"help_option_names": ["-h", "--help"]}
)


def register(parent: typer.Typer) -> None:
    """Put the commands into ``parent``."""
    parent.add_typer(app, name="lock", epilog=examples("state lock show"))
    parent.command("unlock", epilog=examples("state unlock 0123456789abcdef"))(unlock)


@app.command("show", epilog=examples("state lock show", "state lock show --json"))
@expand_option_groups
def show(*, json: JsonOption = False, which: StackOptions) -> None:
    """Who holds the lock, since when and for what; the ID is what `state unlock` wants."""
    from pragmaspec.report.state_text import holder_json, holder_text

    store = which.stack().store
    holder = store.lock_holder()
    if json:
        out().json(holder_json(holder, store.ground.title))
    else:
        out().write(holder_text(holder, store.ground.title, out().pen))


@expand_option_groups
def unlock(
    lock_id: Annotated[str, typer.Argument(metavar="ID", help="The lock's ID, as `state lock show` tells it.")],
    *,
    auto_approve: ApproveOption = False,
    which: StackOptions,
) -> None:
    """Take the lock from a run that is dead.

    If it is not dead, its next write fails and it stops; what it began meanwhile is found at the site. Where the state is
    in a folder or in PostgreSQL, a dead run's lock is free by itself.
    """
    from pragmaspec.cli.plan_and_apply import confirm
    from pragmaspec.errors import UsageError
    from pragmaspec.report.state_text import holder_description

    store = which.stack().store
    holder = store.lock_holder()
    if holder is None:
        out().say(f"Nobody holds the lock of {store.ground.title}.")
        return
    if holder.id != lock_id:
        detail = f"The lock of {store.ground.title} is {holder.id}, held by {holder_description(holder)}. Nothing was changed."
        raise UsageError("Another lock is held", detail)
    err().say(f"The lock {lock_id} of {store.ground.title} is taken from {holder_description(holder)}.")
    err().say("Make sure that it no longer runs: if it does, it stops at its next write.")
    if not auto_approve:
        confirm("Take the lock?", "")
    store.unlock(lock_id)
    out().say("The lock is free.")
