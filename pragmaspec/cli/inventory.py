"""``inventory``."""

from typing import Annotated

import typer

from pragmaspec.cli.options import Which, examples
from pragmaspec.cli.screen import out
from pragmaspec.cli.spread import spread


def register(app: typer.Typer) -> None:
    """Put the command into ``app``."""
    lines = ("inventory > hosts.json", "inventory --host hello-frontend")
    app.command("inventory", epilog=examples(*lines))(inventory)


@spread
def inventory(
    *,
    listed: Annotated[bool, typer.Option("--list", help="The whole inventory; this is what happens anyway.")] = False,  # noqa: ARG001
    host: Annotated[
        str | None,
        typer.Option("--host", metavar="HOST", help="Only the variables of one host."),
    ] = None,
    which: Which,
) -> None:
    """Print the nodes as an Ansible inventory. Groups: frontends, computes, and each cluster with its roles.

    As a dynamic inventory, `ansible -i ./nodes`, where nodes is an executable file with two lines: `#!/bin/sh` and
    `exec pragmaspec inventory --spec /path/to/cluster.yaml "$@"`.
    """
    from pragmaspec.access.inventory import host_text, inventory_text
    from pragmaspec.access.inventory import inventory as nodes_inventory

    stack = which.stack()
    state = stack.state()
    remote = stack.remote(state)
    found = nodes_inventory(state, remote.use(state), str(remote.config))
    out().write(host_text(found, host) if host is not None else inventory_text(found))
