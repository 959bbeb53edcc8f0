"""Resolves images that live at sites: from their pins in the lock file, else by asking the site, once."""

from collections.abc import Collection, Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from msgspec.structs import replace

from pragmaspec.errors import ImageError, PlanError, PragmaspecError, Problem, SiteError, Where
from pragmaspec.planning.images.site_images import needed_site_images, site_image_problems
from pragmaspec.planning.observed import SiteImage

if TYPE_CHECKING:
    from pragmaspec.images.lock.entries import SitePinChange
    from pragmaspec.images.lock.lock_file import SitePin
    from pragmaspec.planning.expand import ImageUse
    from pragmaspec.planning.plan import Plan
    from pragmaspec.planning.wanted import Wanted, WantedImage
    from pragmaspec.providers.base import Provider
    from pragmaspec.spec.loaded_spec import LoadedSpec
    from pragmaspec.stack.sites import Sites
    from pragmaspec.state_model import State


def resolve_site_images(loaded: "LoadedSpec", uses: "Iterable[ImageUse]", *, locked: bool = False) -> "tuple[WantedImage, ...]":
    """Return the images of ``uses``. Asks the sites of those without a valid pin, and pins them.

    ``locked``: refuse them instead. Raises ImageError and SiteError with every problem, at their positions in the spec.
    """
    from pragmaspec.images.lock.lock_file import read_site_pins, write_site_pins

    wanted = tuple(uses)
    if not wanted and not locked:
        return ()
    pins = read_site_pins(loaded.directory)
    missing = [use for use in wanted if not _is_valid(loaded, use, pins.get(use))]
    if missing and locked:
        raise ImageError.of(_not_locked(loaded, use, pins.get(use)) for use in missing)
    stale = _stale(loaded, pins)
    if stale and locked:
        from pragmaspec.images.lock.entries import unused_lock_entries

        raise unused_lock_entries(f"{name} at {site}" for name, site in stale)
    found = _ask(loaded, missing)
    if found:
        write_site_pins(loaded.directory, found)
    known = {**pins, **found}
    return tuple(_wanted(loaded, use, known[use]) for use in wanted)


def known_site_images(loaded: "LoadedSpec", uses: "Iterable[ImageUse]") -> "tuple[WantedImage, ...]":
    """Return those images of ``uses`` that have a valid pin, without asking a site."""
    from pragmaspec.images.lock.lock_file import read_site_pins

    wanted = tuple(uses)
    pins = read_site_pins(loaded.directory) if wanted else {}
    return tuple(_wanted(loaded, use, pins[use]) for use in wanted if _is_valid(loaded, use, pins.get(use)))


def lock_site_images(loaded: "LoadedSpec", upgrade: Collection[str]) -> "tuple[SitePinChange, ...]":
    """Pin the images that live at the sites of clusters, and return all changes.

    Valid pins are kept, except those of images in ``upgrade``; pins of sites that the image no longer names are removed. Raises
    ImageError and SiteError.
    """
    from pragmaspec.images.lock.entries import SitePinChange, pin_change_kind
    from pragmaspec.images.lock.lock_file import read_site_pins, write_site_pins
    from pragmaspec.planning.expand import site_images_named

    pins = read_site_pins(loaded.directory)
    stale = _stale(loaded, pins)
    uses = dict.fromkeys((*site_images_named(loaded), *(key for key in sorted(pins) if key not in stale)))
    asked = [
        use for use in uses if use[1] in loaded.model.sites and (use[0] in upgrade or not _is_valid(loaded, use, pins.get(use)))
    ]
    found = _ask(loaded, asked)
    write_site_pins(loaded.directory, found, stale)
    after = {**pins, **found}
    changes = [
        SitePinChange(
            name=name, site=site, change=pin_change_kind(pins.get((name, site)), pin), pin=pin, before=pins.get((name, site))
        )
        for name, site in uses
        if (pin := after.get((name, site))) is not None
    ]
    removed = [
        SitePinChange(name=name, site=site, change="removed", pin=pins[name, site], before=pins[name, site])
        for name, site in stale
    ]
    return tuple(sorted((*changes, *removed), key=lambda change: (change.name, change.site)))


def check_site_images(plan: "Plan", wanted: "Wanted", state: "State", sites: "Sites") -> None:
    """Raise PlanError for every site image that ``plan`` needs and that its site no longer has as it was pinned."""
    needed = needed_site_images(plan, state)
    if not needed:
        return
    now = sites.find_images(needed)
    problems = tuple(site_image_problems(((image, now.get((image.site, image.site_image))) for image in needed), wanted))
    if problems:
        raise PlanError.of(problems)


def _stale(loaded: "LoadedSpec", pins: "Iterable[ImageUse]") -> "frozenset[ImageUse]":
    """Return those of ``pins`` whose image no longer lives at their site, according to the spec."""
    images = loaded.model.images
    return frozenset((name, site) for name, site in pins if name not in images or site not in images[name].at)


def _is_valid(loaded: "LoadedSpec", use: "ImageUse", pin: "SitePin | None") -> bool:
    name, site = use
    return pin is not None and pin.described == loaded.model.images[name].at[site]


def _wanted(loaded: "LoadedSpec", use: "ImageUse", pin: "SitePin") -> "WantedImage":
    from pragmaspec.planning.images.site_images import wanted_site_image

    name, site = use
    image = wanted_site_image(name, site, pin.site_id, pin.image, loaded.model.images[name].firmware)
    named_by_id = loaded.model.images[name].at[site] == image.site_image != image.site_name
    return replace(image, where=_where(loaded, use), named_by_id=named_by_id)


def _where(loaded: "LoadedSpec", use: "ImageUse") -> Where:
    return loaded.where(("images", use[0], "at", use[1]))


def _ask(loaded: "LoadedSpec", uses: "Collection[ImageUse]") -> "dict[ImageUse, SitePin]":
    """Ask the sites of ``uses``, each once."""
    if not uses:
        return {}
    from pragmaspec.planning.expand_sites import wanted_site
    from pragmaspec.stack.sites import Sites

    options = [wanted_site(loaded, name) for name in sorted({site for _, site in uses})]
    found: dict[ImageUse, SitePin] = {}
    failures: list[PragmaspecError] = []
    with Sites(options, lambda name: loaded.where(("sites", name))) as sites:
        for name, site in uses:
            try:
                found[name, site] = _pin(sites.provider(site), loaded.model.images[name].at[site], site)
            except SiteError as error:
                where = _where(loaded, (name, site))
                failures.append(type(error).of(replace(each, where=each.where or where) for each in error.problems))
    if failures:
        kind = type(failures[0]) if len({type(error) for error in failures}) == 1 else SiteError
        raise kind.of(dict.fromkeys(problem for error in failures for problem in error.problems))
    return found


def _pin(provider: "Provider", name: str, site: str) -> "SitePin":
    from pragmaspec.images.lock.lock_file import SitePin

    ability = provider.abilities.site_images
    if ability is None:
        raise SiteError(
            "The site has no images of its own",
            f"Site {site} has none that `at` could name. Remove its entry, and give the image a source.",
        )
    image = ability.resolve_image(name)
    return SitePin(
        described=name,
        site_id=provider.identity().id,
        **{field: getattr(image, field) for field in SiteImage.__struct_fields__},
        date=datetime.now(UTC).date().isoformat(),
    )


def _not_locked(loaded: "LoadedSpec", use: "ImageUse", pin: "SitePin | None") -> Problem:
    name, site = use
    described = loaded.model.images[name].at[site]
    why = f"has no entry for it at site {site}" if pin is None else f"has {pin.described} at site {site}, the spec {described}"
    detail = f"pragmaspec.lock {why}. `pragmaspec lock` pins it."
    return Problem(summary=f"Image {name} is not as in the lock file", detail=detail, where=_where(loaded, use))
