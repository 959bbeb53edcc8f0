"""``console``."""

import sys
from typing import Annotated

import typer

from pragmaspec.cli.options import NodeArgument, StackOptions, examples, expand_option_groups
from pragmaspec.cli.terminal.screen import err, out


def register(app: typer.Typer) -> None:
    """Put the command into ``app``."""
    app.command("console", epilog=examples("console hello-frontend", "console hello-compute-0 --log"))(console)


@expand_option_groups
def console(
    node: NodeArgument,
    *,
    log: Annotated[bool, typer.Option("--log", help="Print what the console has said since the node was booted.")] = False,
    which: StackOptions,
) -> None:
    """Join the serial console of a node, or print its log.

    Ctrl-] leaves the console.
    """
    from pragmaspec.access.node_lookup import find_node

    stack = which.stack()
    state = stack.state()
    found = find_node(state, node)
    with stack.provider_of(found, state) as (provider, mark):
        if log:
            _print_log(provider.console_log(found, mark))
            return
        err().say(f"The console of {found.name}; Ctrl-] leaves it.")
        provider.console(found, mark)


def _print_log(data: bytes) -> None:
    """The bytes as they are for a file or a pipe; made safe for a terminal, which would obey what a guest prints."""
    screen = out()
    if not screen.terminal:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    for line in data.decode(errors="replace").splitlines():
        screen.say(line.rstrip("\r"))
