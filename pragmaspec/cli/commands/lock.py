"""``lock``."""

from typing import Annotated

import typer

from pragmaspec.cli.options import JsonOption, SpecArgument, SpecOption, examples, one_spec
from pragmaspec.cli.terminal.screen import err, out

UpgradeOption = Annotated[
    list[str] | None,
    typer.Option("--upgrade", metavar="NAME", help="Ask the source of this image anew, and take what it gives now. Repeatable."),
]
OlderOption = Annotated[
    bool, typer.Option("--accept-older", help="Also when a source gives an older file than the lock file has.")
]


def register(app: typer.Typer) -> None:
    """Put the command into ``app``."""
    app.command("lock", epilog=examples("lock", "lock hello.yaml --upgrade debian-12", "lock --json"))(lock)


def lock(
    spec: SpecArgument = None,
    *,
    upgrade: UpgradeOption = None,
    accept_older: OlderOption = False,
    json: JsonOption = False,
    spec_option: SpecOption = None,
) -> None:
    """Pin the bytes of every image in pragmaspec.lock.

    Images that are in it stay; what is missing is downloaded or built, what the spec has no more is removed. Commit the file:
    whoever has it plans with the same images, and `plan --locked` accepts no others.
    """
    from pragmaspec.cli.terminal.image_progress import image_progress
    from pragmaspec.report.lock_text import lock_json, lock_text
    from pragmaspec.stack.images.lock import lock_images
    from pragmaspec.stack.stack import Stack

    with Stack(one_spec(spec, spec_option)) as stack:
        changes = lock_images(stack, upgrade or (), image_progress(), accept_older=accept_older)
    if json:
        out().json(lock_json(changes))
        return
    out().write(lock_text(changes, out().pen))
    moved = [change.name for change in changes if change.change == "moved"]
    if moved:
        err().say("Nodes that boot what has moved are rebuilt by the next apply; `pragmaspec plan` shows which.")
