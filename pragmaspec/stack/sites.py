"""The sites of one stack: connections opened on first use, queries in parallel, and snapshots with their drift."""

import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import TracebackType
from typing import NamedTuple, Self, TypeVar

from msgspec.structs import replace

from pragmaspec.errors import PragmaspecError, SiteError, Where
from pragmaspec.planning.drift.refresh import refreshed_state
from pragmaspec.planning.moves.readdress import by_origin
from pragmaspec.planning.observed import Inventory, Observations, SiteImage, StoredImage
from pragmaspec.planning.plan import Drift
from pragmaspec.planning.request import PlanRequest
from pragmaspec.planning.wanted import Wanted
from pragmaspec.providers.base import Provider
from pragmaspec.providers.registry import open_provider
from pragmaspec.resources import StagedImage
from pragmaspec.site import Site
from pragmaspec.state_model import State

_Answer = TypeVar("_Answer")
_MAX_PARALLEL = 16


class Sites:
    """Providers by site name; to be closed after use.

    ``where`` returns the position of a site in the spec. It is called only for sites that fail.
    """

    def __init__(self, options: Iterable[Site], where: Callable[[str], Where | None] = lambda _: None) -> None:
        self._options = {site.name: site for site in options}
        self._where = where
        self._open: dict[str, Provider] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def provider(self, name: str) -> Provider:
        """Return the provider of site ``name``. Raises SiteError if its library or its options are missing."""
        if name not in self._open:
            options = self._options.get(name)
            if options is None:
                raise SiteError(
                    "Unknown site",
                    f"Site {name} is neither in the spec nor in the recorded state. Put it back into the spec.",
                )
            self._open[name] = open_provider(options)
        return self._open[name]

    def providers(self, names: Iterable[str]) -> dict[str, Provider]:
        """Return the providers of ``names``."""
        return {name: self.provider(name) for name in names}

    def observe(self, names: Iterable[str], state: State) -> dict[str, Observations]:
        """List the objects of the stack at each site and compare them with ``state``; one listing per site, in parallel.

        Raises SiteError with every failure, like the other queries.
        """
        return self._query_all(names, lambda provider: provider.observe(state.lineage, state))

    def refresh_storage(self, names: Iterable[str]) -> None:
        """Make each site notice files that other programs have created, in parallel."""
        self._query_all(names, _refresh_storage)

    def inventories(self, names: Iterable[str]) -> dict[str, Inventory]:
        """Return the capacity of each site and its use, in parallel."""
        return self._query_all(names, lambda provider: provider.inventory())

    def stored_images(self, names: Iterable[str]) -> dict[str, tuple[StoredImage, ...]]:
        """Return the images that occupy space at each site, in parallel; none where the site cannot list them."""
        return self._query_all(names, _stored_images)

    def find_images(self, images: Iterable[StagedImage]) -> dict[tuple[str, str], SiteImage]:
        """Return the present images among ``images``, which live at sites, by site and id."""
        ids: dict[str, list[str]] = {}
        for image in images:
            ids.setdefault(image.site, []).append(image.site_image)
        asked = {site: self._query(site, self.provider(site), partial(_find_images, ids=there)) for site, there in ids.items()}
        return {(site, image.id): image for site, found in asked.items() for image in found}

    def close(self) -> None:
        """Close all connections."""
        opened, self._open = self._open, {}
        for provider in opened.values():
            provider.close()

    def _query_all(self, names: Iterable[str], query: Callable[[Provider], _Answer]) -> dict[str, _Answer]:
        wanted = sorted(set(names))
        providers = self.providers(wanted)
        if len(wanted) < 2:  # noqa: PLR2004 - one site needs no thread
            return {name: self._query(name, provider, query) for name, provider in providers.items()}
        answers: dict[str, _Answer] = {}
        failures: list[PragmaspecError] = []
        with ThreadPoolExecutor(max_workers=min(len(wanted), _MAX_PARALLEL)) as pool:
            pending = {name: pool.submit(self._query, name, provider, query) for name, provider in providers.items()}
            for name, answer in pending.items():
                try:
                    answers[name] = answer.result()
                except PragmaspecError as error:
                    failures.append(error)
        if failures:
            kinds = {type(error) for error in failures}
            kind = kinds.pop() if len(kinds) == 1 else SiteError
            raise kind.of(problem for error in failures for problem in error.problems)
        return answers

    def _query(self, name: str, provider: Provider, query: Callable[[Provider], _Answer]) -> _Answer:
        try:
            return query(provider)
        except SiteError as error:
            where = self._where(name)
            raise type(error).of(replace(problem, where=problem.where or where) for problem in error.problems) from error


def known_sites(wanted: Wanted | None, state: State) -> tuple[Site, ...]:
    """Return the options of every site: those of the spec, else the recorded ones."""
    found = {site.name: site for site in state.sites}
    if wanted is not None:
        found.update((site.name, site) for site in wanted.sites)
    return tuple(found.values())


def sites_in_use(wanted: Wanted, state: State, request: PlanRequest) -> tuple[str, ...]:
    """Return the names of the sites that a plan has to observe: those with wanted clusters, and those with records.

    A plan for selected clusters observes only their sites.
    """
    names = {cluster.site for cluster in wanted.clusters if request.concerns(cluster.name)}
    for record in state.records:
        resource = record.resource
        if not request.only_clusters or (not isinstance(resource, StagedImage) and request.concerns(resource.cluster)):
            names.add(resource.site)
    return tuple(sorted(names))


def _refresh_storage(provider: Provider) -> None:
    if provider.abilities.storage_refresh is not None:
        provider.abilities.storage_refresh.refresh_storage()


def _stored_images(provider: Provider) -> tuple[StoredImage, ...]:
    listing = provider.abilities.image_listing
    return () if listing is None else listing.stored()


def _find_images(provider: Provider, ids: Iterable[str]) -> tuple[SiteImage, ...]:
    ability = provider.abilities.site_images
    return () if ability is None else tuple(image for each in ids if (image := ability.find_image(each)) is not None)


class SiteSnapshot(NamedTuple):
    """The observations of all sites with records, and their drift; ``seconds``: duration of the observation.

    Observed objects are listed under their original addresses (``Record.original_address``).
    """

    state: State
    observations: Mapping[str, Observations]
    drift: tuple[Drift, ...]
    seconds: float


def take_snapshot(state: State, sites: Sites) -> SiteSnapshot:
    """Observe the sites of all records."""
    began = time.monotonic()
    found = sites.observe({record.resource.site for record in state.records}, state)
    observations = {name: by_origin(seen, state) for name, seen in found.items()}
    return SiteSnapshot(state, observations, refreshed_state(state, observations).drift, time.monotonic() - began)
