"""``image list``, ``fetch``, ``build``, ``verify`` and ``prune``: what the store holds."""

import time
from typing import TYPE_CHECKING, Annotated

import typer

from pragmaspec.cli.completion import spec_images
from pragmaspec.cli.options import ApproveOption, JsonOption, StackOptions, examples, expand_option_groups
from pragmaspec.cli.terminal.screen import err, out

if TYPE_CHECKING:
    from collections.abc import Mapping

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


def register(app: typer.Typer) -> None:
    """Put the commands into ``app``."""
    app.command("list", epilog=examples("image list", "image list --json"))(list_)
    app.command("fetch", epilog=examples("image fetch", "image fetch debian-12 --spec hello.yaml"))(fetch)
    app.command("build", epilog=examples("image build", "image build debian-12", "image build debian-12 --again"))(build)
    app.command("verify", epilog=examples("image verify", "image verify --json"))(verify)
    app.command("prune", epilog=examples("image prune", "image prune --dry-run", "image prune --older-than 30 --auto-approve"))(
        prune
    )


def list_(*, json: JsonOption = False) -> None:
    """The images of the store on this machine, and who uses them."""
    _say_kept(json=json)


@expand_option_groups
def fetch(names: _NamesArgument = None, *, json: JsonOption = False, which: StackOptions) -> None:
    """Bring the images of a spec to this machine, verified and inspected, without planning anything."""
    from pragmaspec.cli.terminal.image_progress import image_progress
    from pragmaspec.stack.images.fetch import fetch_images

    with which.stack() as stack:
        found = fetch_images(stack, names or (), image_progress())
    _say_kept({image.name: image.digest for image in found}, json=json)


@expand_option_groups
def build(
    names: _NamesArgument = None,
    *,
    again: Annotated[
        bool, typer.Option("--again", help="Build it a second time, and tell whether the bytes are the same; keep the first.")
    ] = False,
    json: JsonOption = False,
    which: StackOptions,
) -> None:
    """Build the images of a spec that have a `build:`, unless they are here already."""
    from pragmaspec.cli.terminal.image_progress import image_progress
    from pragmaspec.stack.images.fetch import fetch_images, rebuild_images
    from pragmaspec.stack.location import image_store_directory

    with which.stack() as stack:
        if not again:
            found = fetch_images(stack, names or (), image_progress(), built=True)
            _say_kept({image.name: image.digest for image in found}, json=json)
            return
        rebuilt = rebuild_images(stack, names or (), image_store_directory(), image_progress())
    if json:
        images = [{"name": each.name, "digest": each.digest, "found": each.found, "same": each.same} for each in rebuilt]
        out().json({"kind": "rebuilt", "format": 1, "images": images})
    else:
        for each in rebuilt:
            out().say(
                f"{each.name}: {each.digest[:16]}… " + ("again" if each.same else f"the first time, now {each.found[:16]}…")
            )
    if not all(each.same for each in rebuilt):
        raise typer.Exit(EXIT_DIFFERS)


def verify(*, json: JsonOption = False) -> None:
    """Read every file of the store, and put aside what is damaged. The next plan or apply gets it anew."""
    from pragmaspec.cli.terminal.image_progress import image_progress
    from pragmaspec.images.store.verify import verify_store
    from pragmaspec.text import counted, size

    reporter = image_progress()
    found = verify_store(_store(), lambda digest, done, total: reporter.step(digest[:16], "reading", done, total))
    bad = [each for each in found if not each.whole]
    if json:
        files = [
            {"digest": each.digest, "found": each.found, "bytes": each.bytes, "whole": each.whole, "aside": each.aside or None}
            for each in found
        ]
        out().json({"kind": "verified", "format": 1, "files": files})
    else:
        for each in bad:
            out().say(f"{each.digest} is damaged: its bytes have the SHA-256 {each.found}. Put aside as {each.aside}.")
        out().say(
            f"{counted(len(found) - len(bad), 'file')} ({size(sum(each.bytes for each in found if each.whole))}) are whole."
        )
    if bad:
        raise typer.Exit(EXIT_DAMAGED)


def prune(
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Show what would go, and ask nothing.")] = False,
    older_than: Annotated[
        int, typer.Option("--older-than", metavar="DAYS", help="Only what has been here for that long.", min=0)
    ] = 1,
    forget: Annotated[
        list[str] | None,
        typer.Option("--forget", metavar="NAME", help="Keep nothing for this spec, state or imported disk. Repeatable."),
    ] = None,
    auto_approve: ApproveOption = False,
    json: JsonOption = False,
) -> None:
    """Remove what no stack of this machine needs: by its spec, its lock file, or what is recorded of it.

    Shows what would go and asks. Everything that goes can be downloaded or built again; imported disks stay until --forget NAME.
    """
    from pragmaspec.cli.plan_and_apply import confirm
    from pragmaspec.images.prune import plan_prune
    from pragmaspec.images.prune import prune as prune_store
    from pragmaspec.report.image_text import PrunableFile, pruning_json, pruning_text
    from pragmaspec.stack.images.usage import needed_images
    from pragmaspec.text import counted, size

    store = _store()
    needed = needed_images(store, forget or ())
    pruning = plan_prune(store, needed.files, needed.images, time.time(), older_than * _DAY_S)
    doomed = [PrunableFile(path=each.path, bytes=each.bytes, why=each.why) for each in pruning.removable]
    gone = [*(user.shown for user in needed.gone), *needed.dropped_imports]
    if not needed.images and not gone:
        err().say("warning: the store knows no stack of this machine. `pragmaspec plan` makes one known.")
    here = err() if json else out()
    here.write(pruning_text(doomed, pruning.kept_files, pruning.kept_bytes, gone, here.pen))
    do = bool(doomed or gone) and not dry_run
    if do and not auto_approve:
        confirm("Remove these?", "; or look first with --dry-run")
    went = prune_store(store, pruning) if do else ()
    if do:
        _forget(store, needed)
    if json:
        out().json(pruning_json(doomed, pruning.kept_files, pruning.kept_bytes, gone, removed=do))
    elif do:
        out().say(f"Removed {counted(len(went), 'file')}: {size(sum(each.bytes for each in went))} are free again.")


def _forget(store: "BlobStore", needed: "NeededImages") -> None:
    """Keep nothing any more for stacks that are gone, and for imported disks that are given up."""
    from pragmaspec.images.catalogue import Catalogue
    from pragmaspec.images.store.usage import remove_usage

    for user in needed.gone:
        remove_usage(store, user)
    for name in needed.dropped_imports:
        Catalogue(store).forget_imported(name)


def _store() -> "BlobStore":
    from pragmaspec.images.store.blobs import BlobStore
    from pragmaspec.stack.location import image_store_directory

    return BlobStore(image_store_directory())


def _say_kept(only: "Mapping[str, str] | None" = None, *, json: bool) -> None:
    """``only``: digests of the images that are meant, by name."""
    from pragmaspec.report.image_text import stored_images_json, stored_images_text

    uses, unread = _known_uses()
    images = [image for image in _kept(uses) if only is None or only.get(image.name) == image.digest]
    if json:
        out().json(stored_images_json(images, unread))
    else:
        out().write(stored_images_text(images, out().pen, all_known=not unread))


def _known_uses() -> "tuple[Mapping[str, tuple[str, ...]], list[str]]":
    """Who uses each image, and the stacks of which that is not wholly known; says so of each."""
    from pragmaspec.errors import ImageError
    from pragmaspec.stack.images.usage import scan_image_uses

    try:
        known = scan_image_uses(_store())
    except ImageError as error:
        err().say(f"warning: {error.problems[0].detail}")
        return {}, [str(_store().directory)]
    for each in known.unread:
        err().say(f"warning: {each.stack} may use more than is shown. {each.problem.summary}.")
    return known.uses, list(dict.fromkeys(each.stack for each in known.unread))


def _kept(uses: "Mapping[str, tuple[str, ...]]") -> "list[StoredImageRow]":
    from pragmaspec.images.catalogue import Catalogue
    from pragmaspec.images.library import ImageLibrary
    from pragmaspec.report.image_text import StoredImageRow
    from pragmaspec.stack.location import image_store_directory

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
        for entry in Catalogue(_store()).all()
    ]
