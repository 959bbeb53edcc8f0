"""``ssh`` and ``ssh-config``."""

from typing import Annotated

import typer

from pragmaspec.cli.options import NodeArgument, StackOptions, examples, expand_option_groups
from pragmaspec.cli.terminal.screen import out


def register(app: typer.Typer) -> None:
    """Put the commands into ``app``."""
    lines = ("ssh hello-frontend", "ssh hello-compute-0 -- uname -a")
    # What follows NODE belongs to the remote command, also what looks like an option.
    app.command("ssh", epilog=examples(*lines), context_settings={"allow_interspersed_args": False})(ssh)
    config_lines = ("ssh-config > ~/.ssh/pragmaspec.conf", "ssh-config --path")
    app.command("ssh-config", epilog=examples(*config_lines))(ssh_config)


@expand_option_groups
def ssh(
    node: NodeArgument,
    command: Annotated[
        list[str] | None,
        typer.Argument(metavar="CMD", help="Run this instead of a shell.", show_default=False),
    ] = None,
    *,
    which: StackOptions,
) -> None:
    """Log in to a node, to a compute through its frontend.

    As root. Host keys are known from before the first boot. Options stand before NODE. The exit status is the remote
    command's, 255 when ssh itself failed.
    """
    from pragmaspec.access.node_lookup import find_node

    words = list(command or ())
    if words[:1] == ["--"]:
        words = words[1:]
    stack = which.stack()
    state = stack.state()
    found = find_node(state, node)
    raise typer.Exit(stack.remote(state).interactive(found.address, words))


@expand_option_groups
def ssh_config(
    *,
    path: Annotated[bool, typer.Option("--path", help="Print only where the file is, for `ssh -F` or `Include`.")] = False,
    which: StackOptions,
) -> None:
    """Print an OpenSSH client configuration for all nodes.

    With it ssh, scp, rsync and editors reach them by name.
    """
    config = which.stack().remote().config
    out().write(f"{config}\n" if path else config.read_text(encoding="utf-8"))
