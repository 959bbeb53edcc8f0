"""Updates the lock file of a stack, which pins each image of its spec."""

from collections.abc import Collection
from typing import TYPE_CHECKING

from pragmaspec.errors import ImageError, Problem, UsageError
from pragmaspec.text import did_you_mean

if TYPE_CHECKING:
    from pragmaspec.images.lock.entries import LockChange, ProcessorChange, SitePinChange
    from pragmaspec.images.reporter import ImageReporter
    from pragmaspec.stack.stack import Stack


def lock_images(
    stack: "Stack", upgrade: Collection[str] = (), reporter: "ImageReporter | None" = None, *, accept_older: bool = False
) -> "tuple[LockChange | SitePinChange | ProcessorChange, ...]":
    """Update ``pragmaspec.lock`` beside the spec, and return its changes.

    They are sorted by name: images with a source first, then those that live at sites, then the processors of sites.

    Valid entries are kept, except those in ``upgrade``. Continues after failures. Raises SpecError, UsageError for a name that is
    neither an image nor a site of the spec, ImageError with every problem, and SiteError.
    """
    from pragmaspec.spec.loader import load_spec
    from pragmaspec.stack.images.processors import lock_processors
    from pragmaspec.stack.images.site_images import lock_site_images
    from pragmaspec.stack.resolve_spec import check_stack_name

    loaded = load_spec(stack.location.spec_file)
    check_stack_name(stack.location, loaded)
    images = loaded.model.images
    _check_names(upgrade, images, loaded.model.sites)
    changes: list[LockChange] = []
    problems: list[Problem] = []
    with_source = [name for name in sorted(images) if images[name].origin]
    for name in with_source:
        try:
            change = stack.library.lock(
                images[name],
                name,
                loaded.directory,
                loaded.where(("images", name)),
                reporter,
                upgrade=name in upgrade,
                accept_older=accept_older,
            )
        except ImageError as error:
            problems += error.problems
        else:
            changes.append(change)
    changes += stack.library.remove_stale(loaded.directory, with_source)
    if problems:
        raise ImageError.of(problems)
    by_name = sorted(changes, key=lambda change: change.name)
    return (*by_name, *lock_site_images(loaded, upgrade), *lock_processors(loaded, upgrade))


def _check_names(upgrade: Collection[str], images: Collection[str], sites: Collection[str]) -> None:
    for name in upgrade:
        if name not in images and name not in sites:
            known = f"Images: {', '.join(sorted(images)) or 'none'}. Sites: {', '.join(sorted(sites)) or 'none'}."
            advice = did_you_mean(name, (*images, *sites), known)
            raise UsageError("No such image or site", f"The spec has neither an image nor a site {name}. {advice}")
