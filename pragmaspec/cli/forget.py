"""``forget``."""

import typer

from pragmaspec.cli.options import SpecOption, StateOption, examples
from pragmaspec.cli.screen import out


def register(app: typer.Typer) -> None:
    """Put the command into ``app``."""
    app.command("forget", epilog=examples("forget"))(forget)


def forget(*, spec: SpecOption = None, state_dir: StateOption = None) -> None:
    """Remove the recorded state of a stack that has nothing left.

    With it go its keys and ssh files. Refused while anything is recorded: clean it first.
    """
    from pragmaspec.stack.forgetting import forget_stack
    from pragmaspec.stack.stack import Stack

    stack = Stack(spec, state=state_dir)
    forget_stack(stack.store)
    out().say(f"The stack {stack.name} is forgotten.")
