"""``console``: attach to the serial console of a node, or print its log."""

import sys
from typing import Annotated

import typer

from pragmaspec.cli.options import NodeArgument, StackOptions, examples, expand_option_groups
from pragmaspec.cli.terminal.screen import err, out


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command("console", epilog=examples("console hello-frontend", "console hello-compute-0 --log"))(console)


@expand_option_groups
def console(
    node: NodeArgument,
    *,
    log: Annotated[bool, typer.Option("--log", help="Print the console output since the node was booted.")] = False,
    stack_options: StackOptions,
) -> None:
    """Attach to the serial console of a node, or print its log.

    Press Ctrl-] to detach.
    """
    from pragmaspec.access.node_lookup import find_node

    stack = stack_options.stack()
    state = stack.state()
    found = find_node(state, node)
    with stack.provider_of(found, state) as (provider, mark):
        if log:
            _print_log(provider.console_log(found, mark))
            return
        err().line(f"Console of {found.name}. Press Ctrl-] to detach.")
        provider.console(found, mark)


def _print_log(data: bytes) -> None:
    """Print ``data``: unmodified to a file or pipe, with escaped control characters to a terminal."""
    screen = out()
    if not screen.terminal:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    for line in data.decode(errors="replace").splitlines():
        screen.line(line.rstrip("\r"))
