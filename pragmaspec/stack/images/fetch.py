"""Downloads and builds the images of a spec."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pragmaspec.errors import ImageError, PragmaspecError, Problem, UsageError
from pragmaspec.frozen import Frozen
from pragmaspec.text import did_you_mean

if TYPE_CHECKING:
    from pragmaspec.images.reporter import ImageReporter
    from pragmaspec.planning.wanted import WantedImage
    from pragmaspec.spec.loaded_spec import LoadedSpec
    from pragmaspec.stack.stack import Stack


class RebuildResult(Frozen, frozen=True):
    """The result of building an image a second time: its known ``digest``, and the one ``found`` now."""

    name: str
    digest: str
    found: str

    @property
    def same(self) -> bool:
        """True if both builds are identical."""
        return self.digest == self.found


def fetch_images(
    stack: "Stack", names: Collection[str] = (), reporter: "ImageReporter | None" = None, *, built: bool = False
) -> "tuple[WantedImage, ...]":
    """Fetch images of the spec to this machine: ``names``, or all. ``built``: only those with a ``build:``.

    Continues after failures. Raises SpecError, UsageError for an unknown name, and ImageError with every problem.
    """
    loaded = _loaded(stack)
    found: list[WantedImage] = []
    problems: list[Problem] = []
    for name in _chosen(loaded, names, built=built):
        model, where = loaded.model.images[name], loaded.where(("images", name))
        try:
            image = stack.library.resolve(model, name, loaded.directory, where, reporter)
            stack.library.files(image, reporter)
        except ImageError as error:
            problems += error.problems
        else:
            found.append(image)
    if problems:
        raise ImageError.of(dict.fromkeys(problems))  # a damaged lock file is reported for every image
    return tuple(found)


def rebuild_images(
    stack: "Stack", names: Collection[str], store_dir: Path, reporter: "ImageReporter"
) -> tuple[RebuildResult, ...]:
    """Build images of the spec again, outside the store, and compare. Raises SpecError, UsageError and ImageError."""
    from pragmaspec.images.context import ImageContext
    from pragmaspec.images.sources.registry import source_of
    from pragmaspec.images.store.blobs import BlobStore

    loaded, store = _loaded(stack), BlobStore(store_dir)
    rebuilt = []
    for name in _chosen(loaded, names, built=True):
        model, where = loaded.model.images[name], loaded.where(("images", name))
        known = stack.library.resolve(model, name, loaded.directory, where, reporter)
        with store.locked(f"again-{known.digest}"), store.scratch(f"again-{known.digest}") as scratch:
            found = source_of(model, loaded.directory).find(ImageContext(BlobStore(scratch), name, reporter))
        rebuilt.append(RebuildResult(name=name, digest=known.digest, found=found.digest))
    return tuple(rebuilt)


def missing_files(stack: "Stack", store_dir: Path) -> Mapping[str, str]:
    """Return the files that the lock file requires and the store lacks: labels such as ``kernel of debian-12`` by SHA-256.

    Empty without a spec, or without a lock file beside it.
    """
    from pragmaspec.images.lock.lock_file import read_lock
    from pragmaspec.images.store.blobs import BlobStore

    try:
        locked = read_lock(stack.location.spec_file.parent)
    except (PragmaspecError, OSError):
        return {}
    store = BlobStore(store_dir)
    asked = (
        (blob, f"{what} of {name}")
        for name, entry in locked.items()
        for what, blob in (("disk", entry.disk), ("kernel", entry.kernel), ("initrd", entry.initrd))
        if blob is not None
    )
    return {blob.sha256: words for blob, words in asked if not store.has(blob)}


def _loaded(stack: "Stack") -> "LoadedSpec":
    from pragmaspec.spec.loader import load_spec
    from pragmaspec.stack.resolve_spec import check_stack_name

    loaded = load_spec(stack.location.spec_file)
    check_stack_name(stack.location, loaded)
    return loaded


def _chosen(loaded: "LoadedSpec", names: Collection[str], *, built: bool) -> list[str]:
    """Return the selected images, in the order of the spec."""
    known = [name for name, model in loaded.model.images.items() if (model.build if built else model.origin)]
    kind = "built image" if built else "image"
    for name in names:
        if not built and name in loaded.model.images and name not in known:
            detail = f"Image {name} lives at sites only, so there is nothing to fetch to this machine."
            raise UsageError("No such image", detail)
        if name not in known:
            advice = did_you_mean(name, known, f"Images: {', '.join(sorted(known)) or 'none'}.")
            raise UsageError("No such image", f"The spec has no {kind} {name}. {advice}")
    return [name for name in known if name in names or not names]
