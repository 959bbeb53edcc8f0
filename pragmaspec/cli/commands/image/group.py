"""``image``: list, fetch, verify, inspect, convert, build, import, prune."""

import typer

from pragmaspec.cli.commands.image import disks as image_disks
from pragmaspec.cli.commands.image import store as image_store
from pragmaspec.cli.options import examples

app = typer.Typer(
    help="Fetch, inspect, convert and remove images on this machine.",
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

image_store.register(app)
image_disks.register(app)


def register(parent: typer.Typer) -> None:
    """Put the commands into ``parent``."""
    lines = ("image list", "image fetch", "image inspect disk.vmdk", "image convert disk.ova disk.qcow2", "image prune")
    parent.add_typer(app, name="image", epilog=examples(*lines))
