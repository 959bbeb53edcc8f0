"""``lock``: pin the images of the spec."""

from typing import Annotated

import typer

from pragmaspec.cli.options import JsonOption, SpecArgument, SpecOption, examples, one_spec
from pragmaspec.cli.terminal.screen import err, out

UpgradeOption = Annotated[
    list[str] | None,
    typer.Option(
        "--upgrade",
        metavar="NAME",
        help="Query the source of this image again, and pin its current file; of a site: pin its current default processor. "
        "Repeatable.",
    ),
]
OlderOption = Annotated[bool, typer.Option("--accept-older", help="Accept a file that is older than the pinned one.")]


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command("lock", epilog=examples("lock", "lock hello.yaml --upgrade debian-12", "lock --upgrade lab", "lock --json"))(lock)


def lock(
    spec: SpecArgument = None,
    *,
    upgrade: UpgradeOption = None,
    accept_older: OlderOption = False,
    json: JsonOption = False,
    spec_option: SpecOption = None,
) -> None:
    """Pin every image of the spec in pragmaspec.lock.

    Existing entries are kept; missing images are downloaded or built, and entries of images and sites that are not in the spec
    are removed. The first plan that chooses the default processor of a site pins it. Commit the file: then all plans use the same
    images and processors, and `plan --locked` accepts no others.
    """
    from pragmaspec.cli.terminal.image_progress import image_progress
    from pragmaspec.images.lock.entries import ProcessorChange
    from pragmaspec.report.lock_text import lock_json, lock_text
    from pragmaspec.stack.images.lock import lock_images
    from pragmaspec.stack.stack import Stack

    with Stack(one_spec(spec, spec_option)) as stack:
        changes = lock_images(stack, upgrade or (), image_progress(), accept_older=accept_older)
    if json:
        out().json(lock_json(changes))
        return
    out().write(lock_text(changes, out().style))
    moved = [change for change in changes if change.change == "moved" and not isinstance(change, ProcessorChange)]
    if moved:
        err().line("The next apply rebuilds the nodes of moved images; `pragmaspec plan` lists them.")
