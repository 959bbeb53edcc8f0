"""``inventory``: print the nodes as an Ansible inventory."""

from typing import TYPE_CHECKING, Annotated

import typer

from pragmaspec.cli.options import StackOptions, examples, expand_option_groups
from pragmaspec.cli.terminal.screen import err, out

if TYPE_CHECKING:
    from pragmaspec.access.ansible_inventory import AnsibleInventory
    from pragmaspec.state_model import State


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    lines = ("inventory > hosts.yaml", "inventory --json > hosts.json", "inventory --host hello-frontend")
    app.command("inventory", epilog=examples(*lines))(inventory)


@expand_option_groups
def inventory(
    *,
    json: Annotated[
        bool, typer.Option("--json", help="Print the inventory file as JSON, for a file name ending in .json.")
    ] = False,
    listed: Annotated[
        bool, typer.Option("--list", help="Act as an inventory script: print all hosts and groups as JSON.")
    ] = False,
    host: Annotated[
        str | None,
        typer.Option("--host", metavar="HOST", help="Act as an inventory script: print the variables of one host as JSON."),
    ] = None,
    stack_options: StackOptions,
) -> None:
    """Print the nodes as an Ansible inventory.

    The output is a file for `ansible -i hosts.yaml`; its name must end in .yaml, .yml or .json. Groups: frontends, computes;
    for cluster hello at site lab: hello, hello__frontend, hello__computes, lab__site, hello__at__lab.

    For an inventory that is always current, create an executable file of two lines, `#!/bin/sh` and `exec pragmaspec
    inventory --spec /path/to/cluster.yaml "$@"`, for example nodes, and use `ansible -i ./nodes`.
    """
    from pragmaspec.access.ansible_inventory import ansible_inventory as nodes_inventory
    from pragmaspec.access.ansible_inventory import host_text, inventory_text, inventory_warnings, list_text

    if listed and host is not None:
        raise typer.BadParameter("--list and --host are mutually exclusive")
    stack = stack_options.stack()
    state = stack.state()
    # A stack without nodes may have no key, and needs no connection.
    remote = stack.remote(state) if state.nodes() else None
    routes = remote.routes if remote else ()
    found = nodes_inventory(state, routes, str(remote.config) if remote else "")
    for warning in inventory_warnings(state, routes):
        err().line(f"warning: {warning}")
    if host is not None:
        _warn_unknown(host, found, state)
        out().write(host_text(found, host))
    else:
        out().write(list_text(found) if listed else inventory_text(found, as_json=json))


def _warn_unknown(host: str, found: "AnsibleInventory", state: "State") -> None:
    """Print similar names for an unknown ``host``; Ansible expects an empty result instead of an error."""
    from pragmaspec.access.node_lookup import find_node
    from pragmaspec.errors import UsageError

    if state.nodes() and host not in dict(found.hosts):
        try:
            find_node(state, host)
        except UsageError as error:
            err().line(f"warning: {error.problems[0].detail}")
