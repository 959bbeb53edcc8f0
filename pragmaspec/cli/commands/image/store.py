"""``image list``, ``fetch``, ``build``, ``verify`` and ``prune``: the image store of this machine."""

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from pragmaspec.cli.completion import spec_images
from pragmaspec.cli.options import ApproveOption, JsonOption, StackOptions, examples, expand_option_groups
from pragmaspec.cli.terminal.screen import err, out

if TYPE_CHECKING:
    from pragmaspec.images.prune import PrunePlan
    from pragmaspec.images.store.blobs import BlobStore
    from pragmaspec.report.image_text import StoredImageRow
    from pragmaspec.stack.images.usage import NeededImages

EXIT_DAMAGED = 1
EXIT_DIFFERS = 1
_DAY_S = 24 * 3600
_NamesArgument = Annotated[
    list[str] | None,
    typer.Argument(metavar="[IMAGE]...", help="Names of images. Default: all.", autocompletion=spec_images, show_default=False),
]

_ForgetOption = Annotated[
    list[str] | None,
    typer.Option("--forget", metavar="NAME", help="Give up this spec, state or imported disk. Repeatable."),
]


def register(app: typer.Typer) -> None:
    """Add the commands to ``app``."""
    app.command("list", epilog=examples("image list", "image list --json"))(list_)
    app.command("fetch", epilog=examples("image fetch", "image fetch debian-12 --spec hello.yaml"))(fetch)
    app.command("build", epilog=examples("image build", "image build debian-12", "image build debian-12 --again"))(build)
    app.command("verify", epilog=examples("image verify", "image verify --json"))(verify)
    app.command("prune", epilog=examples("image prune", "image prune --dry-run", "image prune --older-than 30 --auto-approve"))(
        prune
    )


def list_(*, json: JsonOption = False) -> None:
    """List the images in the store of this machine, and the stacks that use them."""
    _print_images(json=json)


@expand_option_groups
def fetch(names: _NamesArgument = None, *, json: JsonOption = False, stack_options: StackOptions) -> None:
    """Download, verify and inspect the images of a spec, without planning."""
    from pragmaspec.cli.terminal.image_progress import image_progress
    from pragmaspec.stack.images.fetch import fetch_images

    with stack_options.stack() as stack:
        images = fetch_images(stack, names or (), image_progress())
    _print_images({image.name: image.digest for image in images}, json=json)


@expand_option_groups
def build(
    names: _NamesArgument = None,
    *,
    again: Annotated[
        bool, typer.Option("--again", help="Build a second time and compare the bytes; the first build is kept.")
    ] = False,
    json: JsonOption = False,
    stack_options: StackOptions,
) -> None:
    """Build the images of a spec that have a `build:`, unless they are in the store."""
    from pragmaspec.cli.terminal.image_progress import image_progress
    from pragmaspec.stack.images.fetch import fetch_images, rebuild_images
    from pragmaspec.stack.images.store_directory import image_store_directory

    with stack_options.stack() as stack:
        if not again:
            images = fetch_images(stack, names or (), image_progress(), built=True)
            _print_images({image.name: image.digest for image in images}, json=json)
            return
        rebuilt = rebuild_images(stack, names or (), image_store_directory(), image_progress())
    if json:
        forms = [{"name": each.name, "digest": each.digest, "found": each.found, "same": each.same} for each in rebuilt]
        out().json({"kind": "rebuilt", "format": 1, "images": forms})
    else:
        for each in rebuilt:
            result = "identical" if each.same else f"differs: {each.found[:16]}… in the second build"
            out().line(f"{each.name}: {each.digest[:16]}… {result}")
    if not all(each.same for each in rebuilt):
        raise typer.Exit(EXIT_DIFFERS)


def verify(*, json: JsonOption = False) -> None:
    """Read every file in the store, and set damaged ones aside. The next plan or apply restores them."""
    from pragmaspec.cli.image_context import open_store
    from pragmaspec.cli.terminal.image_progress import image_progress
    from pragmaspec.images.store.verify import verify_store
    from pragmaspec.text import counted, size

    reporter = image_progress()
    files = verify_store(open_store(), lambda digest, done, total: reporter.step(digest[:16], "reading", done, total))
    damaged = [each for each in files if not each.whole]
    if json:
        forms = [
            {"digest": each.digest, "found": each.found, "bytes": each.bytes, "whole": each.whole, "aside": each.aside or None}
            for each in files
        ]
        out().json({"kind": "verified", "format": 1, "files": forms})
    else:
        for each in damaged:
            out().line(f"{each.digest} is damaged: its SHA-256 is {each.found}. Moved to {each.aside}.")
        intact_bytes = sum(each.bytes for each in files if each.whole)
        out().line(f"{counted(len(files) - len(damaged), 'file')} ({size(intact_bytes)}) intact.")
    if damaged:
        raise typer.Exit(EXIT_DAMAGED)


def prune(
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Show the files without removing them.")] = False,
    older_than: Annotated[
        int, typer.Option("--older-than", metavar="DAYS", help="Remove only files that are at least this old.", min=0)
    ] = 1,
    forget: _ForgetOption = None,
    auto_approve: ApproveOption = False,
    json: JsonOption = False,
) -> None:
    """Remove files that no stack of this machine needs by its spec, its lock file, or its recorded state.

    Lists the files and asks. They can be downloaded or built again; imported disks are kept until --forget NAME.
    """
    from pragmaspec.cli.image_context import open_store
    from pragmaspec.cli.terminal.confirm import confirm
    from pragmaspec.images.prune import plan_prune
    from pragmaspec.report.image_text import PrunableFile, pruning_json, pruning_text
    from pragmaspec.stack.images.usage import needed_images
    from pragmaspec.text import counted, size

    store = open_store()
    needed = needed_images(store, forget or ())
    pruning = plan_prune(store, needed.files, needed.images, time.time(), older_than * _DAY_S)
    files = [PrunableFile(path=each.path, bytes=each.bytes, why=each.why) for each in pruning.removable]
    forgotten = [*(user.shown for user in needed.gone), *needed.dropped_imports]
    if not needed.images and not forgotten:
        err().line("warning: the store has no record of a stack on this machine. `pragmaspec plan` adds one.")
    screen = err() if json else out()
    screen.write(pruning_text(files, pruning.kept_files, pruning.kept_bytes, forgotten, screen.style))
    remove = bool(files or forgotten) and not dry_run
    if remove and not auto_approve:
        confirm("Remove these?", "; or use --dry-run")
    removed_bytes = _remove(store, pruning, needed) if remove else []
    if json:
        out().json(pruning_json(files, pruning.kept_files, pruning.kept_bytes, forgotten, removed=remove))
    elif remove:
        out().line(f"Removed {counted(len(removed_bytes), 'file')} ({size(sum(removed_bytes))}).")


def _remove(store: "BlobStore", pruning: "PrunePlan", needed: "NeededImages") -> list[int]:
    """Remove the files, and the usage records of forgotten stacks and disks. Return the size of each removed file."""
    from pragmaspec.images.catalogue import Catalogue
    from pragmaspec.images.prune import prune as prune_store
    from pragmaspec.images.store.usage import remove_usage

    removed = prune_store(store, pruning)
    for user in needed.gone:
        remove_usage(store, user)
    for name in needed.dropped_imports:
        Catalogue(store).forget_imported(name)
    return [each.bytes for each in removed]


def _print_images(only: Mapping[str, str] | None = None, *, json: bool) -> None:
    """Print the images in the store. ``only``: digests of the images to print, by name."""
    from pragmaspec.report.image_text import stored_images_json, stored_images_text

    uses, unread = _known_uses()
    images = [image for image in _stored_images(uses) if only is None or only.get(image.name) == image.digest]
    if json:
        out().json(stored_images_json(images, unread))
    else:
        out().write(stored_images_text(images, out().style, all_known=not unread))


def _known_uses() -> tuple[Mapping[str, tuple[str, ...]], list[str]]:
    """Return the users of each image, and the stacks that could not be read completely; prints a warning for each of them."""
    from pragmaspec.cli.image_context import open_store
    from pragmaspec.errors import ImageError
    from pragmaspec.stack.images.usage import scan_image_uses

    try:
        known = scan_image_uses(open_store())
    except ImageError as error:
        err().line(f"warning: {error.problems[0].detail}")
        return {}, [str(open_store().directory)]
    for each in known.unread:
        err().line(f"warning: {each.stack} may use more images than shown. {each.problem.summary}.")
    return known.uses, list(dict.fromkeys(each.stack for each in known.unread))


def _stored_images(uses: Mapping[str, tuple[str, ...]]) -> "list[StoredImageRow]":
    from pragmaspec.cli.image_context import open_store
    from pragmaspec.images.catalogue import Catalogue
    from pragmaspec.images.library import ImageLibrary
    from pragmaspec.report.image_text import StoredImageRow
    from pragmaspec.stack.images.store_directory import image_store_directory

    here = {entry.digest for entry in ImageLibrary(image_store_directory()).entries()}
    return [
        StoredImageRow(
            name=entry.name,
            digest=entry.digest,
            origin=entry.origin,
            format=entry.format,
            size_bytes=entry.size_bytes,
            virtual_size_bytes=entry.virtual_size_bytes,
            date=entry.date,
            here=entry.digest in here,
            used_by=uses.get(entry.digest, ()),
        )
        for entry in Catalogue(open_store()).all()
    ]
