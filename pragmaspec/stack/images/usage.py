"""Finds the images that the stacks of this machine need: by their specs, lock files and recorded state."""

import os
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pragmaspec.errors import ImageError, PragmaspecError, Problem, UsageError
from pragmaspec.frozen import Frozen
from pragmaspec.stack.location import StackLocation, is_url

if TYPE_CHECKING:
    from pragmaspec.images.catalogue import Catalogue
    from pragmaspec.images.store.blobs import BlobStore
    from pragmaspec.images.store.usage import StackUsage
    from pragmaspec.planning.wanted import Wanted

    Need = tuple[str, set[str]]
    """The digest of an image and those of its files."""


class UnreadableStack(Frozen, frozen=True):
    """A stack that cannot be read completely, so that it may need further images, and the reason."""

    stack: str
    problem: Problem


class NeededImages(Frozen, frozen=True):
    """The digests of needed files and images. ``uses``: the stacks that use each image; ``gone``: stacks that no longer exist.

    ``dropped_imports``: names of imported disks to remove; ``unread``: stacks with possible further needs.
    """

    files: frozenset[str]
    images: frozenset[str]
    uses: dict[str, tuple[str, ...]]
    gone: "tuple[StackUsage, ...]" = ()
    dropped_imports: tuple[str, ...] = ()
    unread: tuple[UnreadableStack, ...] = ()


def record_use(location: StackLocation, wanted: "Wanted", store_dir: Path) -> None:
    """Record the images of the spec at ``location``, so that they are not pruned."""
    from pragmaspec.images.store.blobs import BlobStore
    from pragmaspec.images.store.usage import StackUsage, record_usage

    images = tuple(sorted({image.digest for image in wanted.images}))
    record_usage(
        BlobStore(store_dir), StackUsage(spec=str(location.spec_file.absolute()), state=location.absolute_state, images=images)
    )


def needed_images(store: "BlobStore", forgotten: Collection[str] = ()) -> NeededImages:
    """Return the images in ``store`` that stacks of this machine need, and imported ones, except ``forgotten``.

    ``forgotten``: specs or states of stacks, and names of imported disks. Raises ImageError if a stack cannot be read, because
    nothing may be removed then. Raises UsageError for an unknown name.
    """
    needed = scan_image_uses(store, forgotten)
    if needed.unread:
        raise ImageError.of(map(_cannot_look, needed.unread))
    return needed


def scan_image_uses(store: "BlobStore", forgotten: Collection[str] = ()) -> NeededImages:
    """Return the same as far as it is known. Raises ImageError if the list of stacks cannot be read, and UsageError."""
    from pragmaspec.images.catalogue import Catalogue
    from pragmaspec.images.store.usage import stack_usages

    catalogue, everybody = Catalogue(store), stack_usages(store)
    imported = catalogue.imported()
    _check_known(forgotten, everybody, {entry.name for entry in imported})
    files: set[str] = set()
    uses: dict[str, set[str]] = {}
    gone: list[StackUsage] = []
    unread: list[UnreadableStack] = []
    for user in everybody:
        if _is_gone(user) or any(_means(name, user) for name in forgotten):
            gone.append(user)
            continue
        for needs in (_of_spec, _of_lock, _of_state):
            try:
                for image, more in needs(user, catalogue):
                    files |= more
                    uses.setdefault(image, set()).add(user.shown)
            except PragmaspecError as error:
                unread.append(UnreadableStack(stack=user.shown, problem=error.problems[0]))
    kept = {entry.digest for entry in imported if entry.name not in forgotten}
    shown = {image: tuple(sorted(names)) for image, names in uses.items()}
    return NeededImages(
        files=frozenset(files | kept),
        images=frozenset(uses.keys() | kept),
        uses=shown,
        gone=tuple(gone),
        dropped_imports=tuple(entry.name for entry in imported if entry.name in forgotten),
        unread=tuple(unread),
    )


def _means(name: str, user: "StackUsage") -> bool:
    """True if ``name`` is the spec or the state of ``user``."""
    forms = {name} if is_url(name) else {os.path.normpath(Path(name).absolute()), os.path.realpath(name)}
    return any(place and (place if is_url(place) else os.path.normpath(place)) in forms for place in (user.spec, user.state))


def _check_known(forgotten: Collection[str], everybody: "Collection[StackUsage]", imported: Collection[str]) -> None:
    """Raise UsageError with every unknown name."""
    known = ", ".join([*sorted(imported), *(user.shown for user in everybody)]) or "nothing"
    wrong = [name for name in forgotten if name not in imported and not any(_means(name, user) for user in everybody)]
    if wrong:
        raise UsageError.of(
            Problem(
                summary="Nothing to forget",
                detail=f"{name} is neither a spec or state known to the store, nor an imported disk. Known: {known}.",
            )
            for name in wrong
        )


def _of_spec(user: "StackUsage", catalogue: "Catalogue") -> "Iterator[Need]":
    """The images of its spec when it was last read."""
    if user.spec and Path(user.spec).exists():
        for image in user.images:
            yield image, _files(catalogue, image)


def _of_lock(user: "StackUsage", _: "Catalogue") -> "Iterator[Need]":
    """The images in the lock file beside its spec."""
    from pragmaspec.images.lock.lock_file import read_lock

    if user.spec and Path(user.spec).exists():
        for locked in read_lock(Path(user.spec).parent).values():
            blobs = {blob.sha256 for blob in (locked.disk, locked.kernel, locked.initrd) if blob}
            yield locked.digest, blobs | ({locked.packages} if locked.packages else set())


def _of_state(user: "StackUsage", catalogue: "Catalogue") -> "Iterator[Need]":
    """The images in its recorded state."""
    from pragmaspec.resources import Node, StagedImage
    from pragmaspec.stack.state.access import store_at

    for record in store_at(user.state).read().records:
        resource = record.resource
        if isinstance(resource, StagedImage):
            yield resource.digest, {blob.sha256 for blob in (resource.disk, resource.kernel, resource.initrd) if blob}
        elif isinstance(resource, Node):
            yield resource.image, _files(catalogue, resource.image)


def _files(catalogue: "Catalogue", image: str) -> set[str]:
    entry = catalogue.get(image)
    if entry is None:
        return {image}
    return {blob.sha256 for blob in entry.blobs} | ({entry.packages} if entry.packages else set())


def _is_gone(user: "StackUsage") -> bool:
    """True if neither its spec nor its state exists any more."""
    return not (user.spec and Path(user.spec).exists()) and not is_url(user.state) and not Path(user.state).exists()


def _cannot_look(unread: UnreadableStack) -> Problem:
    return Problem(
        summary="Cannot tell which images are needed",
        detail=f"{unread.stack}: {unread.problem.summary}. {unread.problem.detail} Nothing was removed. Make it readable, or "
        f"use `--forget {unread.stack}` if the stack no longer exists.",
        where=unread.problem.where,
        quote=unread.problem.quote,
    )
