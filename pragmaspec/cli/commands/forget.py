"""``forget``."""

import typer

from pragmaspec.cli.options import LockTimeoutOption, StackOptions, examples, expand_option_groups
from pragmaspec.cli.terminal.screen import out


def register(app: typer.Typer) -> None:
    """Put the command into ``app``."""
    app.command("forget", epilog=examples("forget"))(forget)


@expand_option_groups
def forget(*, lock_timeout: LockTimeoutOption = "0", which: StackOptions) -> None:
    """Remove the recorded state of a stack that has nothing left.

    With it go its keys, its ssh files and what was kept of its spec. Refused while anything is recorded: clean it first.
    """
    from pragmaspec.stack.state.forget import forget_stack

    stack = which.stack(lock_timeout=lock_timeout)
    title = stack.store.ground.title
    if forget_stack(stack.place, stack.store):
        out().say(f"Forgotten: the stack that was recorded at {title}, with its keys.")
    else:
        out().say(f"Nothing is recorded at {title}.")
