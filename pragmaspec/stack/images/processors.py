"""The processors of new nodes in the lock file: pinned by the first plan that chooses a default, and by ``pragmaspec lock``."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from pragmaspec._version import __version__
from pragmaspec.errors import ImageError, Problem
from pragmaspec.state.spec_cache import SpecCache

if TYPE_CHECKING:
    from pragmaspec.images.lock.entries import LockChangeKind, ProcessorChange
    from pragmaspec.planning.plan import Plan
    from pragmaspec.planning.wanted import Wanted
    from pragmaspec.spec.loaded_spec import LoadedSpec


def with_pinned_processors(loaded: "LoadedSpec", wanted: "Wanted", *, locked: bool = False) -> "Wanted":
    """Return ``wanted`` with the pinned processors of its sites.

    Raises ImageError if the lock file is invalid; with ``locked`` also if it has pins of other sites.
    """
    from pragmaspec.images.lock.lock_file import read_processors

    pins = read_processors(loaded.directory)
    unused = sorted(_stale(loaded, pins)) if locked else ()
    if unused:
        detail = f"pragmaspec.lock has processors of sites that are not in the spec: {', '.join(unused)}."
        raise ImageError("Lock file is not up to date", f"{detail} `pragmaspec lock` removes them.")
    names = {site.name for site in wanted.sites}
    return replace(wanted, processors=tuple(sorted((site, each) for site, each in pins.items() if site in names)))


def pin_chosen_processors(spec: Path, plan: "Plan", wanted: "Wanted", *, locked: bool) -> tuple[Problem, ...]:
    """Pin the default processors that ``plan`` has chosen in the lock file beside ``spec``.

    Return warnings if it cannot be written, or must not be (``locked``).
    """
    pinned = dict(wanted.processors)
    chosen = {each.site.name: each.default_processor for each in plan.sites if each.default_processor}
    missing = {site: processor for site, processor in chosen.items() if site not in pinned}
    if missing and locked:
        return tuple(_unpinned(site, processor) for site, processor in sorted(missing.items()))
    if missing:
        from pragmaspec.images.lock.lock_file import LOCK_FILE, write_processors

        try:
            digests = write_processors(spec.parent, missing)
        except ImageError as error:
            return tuple(replace(problem, severity="warning") for problem in error.problems)
        # Otherwise the next plan would have to read the spec again.
        pins = tuple(sorted({**pinned, **missing}.items()))
        lock = (spec.parent / LOCK_FILE).absolute()
        SpecCache(__version__).follow(spec, lock, digests, lambda cached: replace(cached, processors=pins))
    return ()


def _unpinned(site: str, processor: str) -> Problem:
    detail = (
        f"New nodes of site {site} get its default, {processor}, which pragmaspec.lock does not pin: later nodes may get another "
        f"one. `pragmaspec lock --upgrade {site}` pins it, as does a plan without --locked."
    )
    return Problem(summary="Processor is not in the lock file", detail=detail, severity="warning")


def lock_processors(loaded: "LoadedSpec", upgrade: Collection[str]) -> "tuple[ProcessorChange, ...]":
    """Pin the defaults that the sites in ``upgrade`` have now, and return the changes of all pins, sorted by site.

    Other pins are kept, except those of sites that are not in the spec. Raises SiteError.
    """
    from pragmaspec.images.lock.entries import ProcessorChange
    from pragmaspec.images.lock.lock_file import read_processors, write_processors

    before = read_processors(loaded.directory)
    now = _defaults(loaded, [site for site in upgrade if site in loaded.model.sites])
    removed = {*_stale(loaded, before), *(site for site, processor in now.items() if site in before and not processor)}
    found = {site: processor for site, processor in now.items() if processor}
    write_processors(loaded.directory, found, removed)
    after = {**before, **found}
    return tuple(
        ProcessorChange(
            site=site,
            change="removed" if site in removed else _change(before.get(site), after[site]),
            processor=after[site],
            before=before.get(site, ""),
        )
        for site in sorted(after)
    )


def _change(before: str | None, after: str) -> "LockChangeKind":
    return "new" if before is None else "same" if before == after else "moved"


def _stale(loaded: "LoadedSpec", pins: Mapping[str, str]) -> frozenset[str]:
    return frozenset(pins).difference(loaded.model.sites)


def _defaults(loaded: "LoadedSpec", names: Collection[str]) -> dict[str, str]:
    """Ask the sites ``names`` for their own defaults."""
    if not names:
        return {}
    from pragmaspec.planning.expand_sites import wanted_site
    from pragmaspec.stack.sites import Sites

    options = [wanted_site(loaded, name) for name in sorted(names)]
    with Sites(options, lambda name: loaded.where(("sites", name))) as sites:
        return {name: inventory.default_processor for name, inventory in sites.inventories(names).items()}
