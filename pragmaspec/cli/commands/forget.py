"""``forget``: delete the state and the keys of an empty stack."""

import typer

from pragmaspec.cli.options import LockTimeoutOption, StackOptions, examples, expand_option_groups
from pragmaspec.cli.terminal.screen import out


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command("forget", epilog=examples("forget"))(forget)


@expand_option_groups
def forget(*, lock_timeout: LockTimeoutOption = "0", stack_options: StackOptions) -> None:
    """Delete the state of a stack without any resources.

    Also deletes its keys, its ssh files and the cached spec. Refused while anything is recorded: clean the clusters first.
    """
    from pragmaspec.stack.state.forget import forget_stack

    stack = stack_options.stack(lock_timeout=lock_timeout)
    title = stack.store.backend.title
    if forget_stack(stack.location, stack.store):
        out().line(f"Deleted the state at {title}, with the keys of the stack.")
    else:
        out().line(f"Nothing is recorded at {title}.")
