"""``ssh`` and ``ssh-config``: log in to nodes."""

from typing import Annotated

import typer

from pragmaspec.cli.options import NodeArgument, StackOptions, examples, expand_option_groups
from pragmaspec.cli.terminal.screen import out


def register(app: typer.Typer) -> None:
    """Add the commands to ``app``."""
    lines = ("ssh hello-frontend", "ssh hello-compute-0 -- uname -a")
    # Everything after NODE is the remote command, including its options.
    app.command("ssh", epilog=examples(*lines), context_settings={"allow_interspersed_args": False})(ssh)
    config_lines = ("ssh-config > ~/.ssh/pragmaspec.conf", "ssh-config --path")
    app.command("ssh-config", epilog=examples(*config_lines))(ssh_config)


@expand_option_groups
def ssh(
    node: NodeArgument,
    command: Annotated[
        list[str] | None,
        typer.Argument(metavar="CMD", help="Command to run instead of a shell.", show_default=False),
    ] = None,
    *,
    stack_options: StackOptions,
) -> None:
    """Log in to a node, to a compute through its frontend.

    The user is root. Host keys are known before the first boot. Options must precede NODE. The exit status is that of the
    remote command, or 255 if ssh itself fails.
    """
    from pragmaspec.access.node_lookup import find_node

    words = list(command or ())
    if words[:1] == ["--"]:
        words = words[1:]
    stack = stack_options.stack()
    state = stack.state()
    found = find_node(state, node)
    raise typer.Exit(stack.remote(state).interactive(found.address, words))


@expand_option_groups
def ssh_config(
    *,
    path: Annotated[bool, typer.Option("--path", help="Print only the path of the file, for `ssh -F` or `Include`.")] = False,
    stack_options: StackOptions,
) -> None:
    """Print an OpenSSH client configuration for all nodes.

    ssh, scp, rsync and editors use it to connect to nodes by name.
    """
    config = stack_options.stack().remote().config
    out().write(f"{config}\n" if path else config.read_text(encoding="utf-8"))
