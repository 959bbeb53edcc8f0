"""Which images the stacks of this machine need: by their specs, by their lock files, and by what is recorded at sites."""

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pragmaspec.errors import ImageError, PragmaspecError, Problem
from pragmaspec.frozen import Frozen
from pragmaspec.stack.place import Place
from pragmaspec.stack.state_line import is_url

if TYPE_CHECKING:
    from pragmaspec.images.catalogue import Catalogue
    from pragmaspec.images.store import BlobStore
    from pragmaspec.images.users import User
    from pragmaspec.planning.wanted import Wanted


class Needed(Frozen, frozen=True):
    """What has to stay: digests of files and images. ``uses``: for each image, by whom; ``gone``: stacks that are no more."""

    files: frozenset[str]
    images: frozenset[str]
    uses: dict[str, tuple[str, ...]]
    gone: "tuple[User, ...]" = ()


def remember_use(place: Place, wanted: "Wanted", store_dir: Path) -> None:
    """Keep which images the spec of ``place`` means, so that they are not pruned."""
    from pragmaspec.images.store import BlobStore
    from pragmaspec.images.users import User, remember_user

    state = place.state if is_url(place.state) else str(Path(place.state).absolute())
    images = tuple(sorted({image.digest for image in wanted.images}))
    remember_user(BlobStore(store_dir), User(spec=str(place.spec_file.absolute()), state=state, images=images))


def needed_images(store: "BlobStore", forgotten: Collection[str] = ()) -> Needed:
    """What the stacks of this machine need of ``store``, but for those in ``forgotten``, named by spec or state.

    Raises ImageError when that cannot be told of one of them: whoever cannot look must not remove.
    """
    from pragmaspec.images.catalogue import Catalogue
    from pragmaspec.images.users import users

    catalogue = Catalogue(store)
    files: set[str] = set()
    uses: dict[str, set[str]] = {}
    gone: list[User] = []
    problems: list[Problem] = []
    for user in users(store):
        if _is_gone(user) or {user.spec, user.state, user.shown} & set(forgotten):
            gone.append(user)
            continue
        try:
            for image, more in _needs(user, catalogue):
                files |= more
                uses.setdefault(image, set()).add(user.shown)
        except PragmaspecError as error:
            problems.append(_cannot_look(user, error))
    if problems:
        raise ImageError(*problems)
    shown = {image: tuple(sorted(names)) for image, names in uses.items()}
    return Needed(files=frozenset(files), images=frozenset(uses), uses=shown, gone=tuple(gone))


def _needs(user: "User", catalogue: "Catalogue") -> "Iterator[tuple[str, set[str]]]":
    """Each image that the stack needs, with the digests of its files."""
    from pragmaspec.images.lock import read_lock
    from pragmaspec.recorded import Node, StagedImage
    from pragmaspec.stack.recording import store_at

    if user.spec and Path(user.spec).exists():
        for image in user.images:
            yield image, _files(catalogue, image)
        for locked in read_lock(Path(user.spec).parent).values():
            blobs = {blob.sha256 for blob in (locked.disk, locked.kernel, locked.initrd) if blob}
            yield locked.digest, blobs | ({locked.packages} if locked.packages else set())
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


def _is_gone(user: "User") -> bool:
    """Whether neither its spec nor its state is there any more."""
    return not (user.spec and Path(user.spec).exists()) and not is_url(user.state) and not Path(user.state).exists()


def _cannot_look(user: "User", error: PragmaspecError) -> Problem:
    return Problem(
        summary="cannot tell which images are needed",
        detail=f"{user.shown}: {error} Nothing was removed. Make that readable, or say `--forget {user.shown}` when the stack is "
        "no more.",
    )
