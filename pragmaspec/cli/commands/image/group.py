"""``image``: the commands for images on this machine."""

import typer

from pragmaspec.cli.command_group import command_group
from pragmaspec.cli.commands.image import disks, store
from pragmaspec.cli.options import examples

app = command_group("Fetch, inspect, convert and remove images on this machine.")
store.register(app)
disks.register(app)


def register(parent: typer.Typer) -> None:
    """Add the group to ``parent``."""
    lines = ("image list", "image fetch", "image inspect disk.vmdk", "image convert disk.ova disk.qcow2", "image prune")
    parent.add_typer(app, name="image", epilog=examples(*lines))
