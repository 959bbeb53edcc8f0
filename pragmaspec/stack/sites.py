"""The sites of one stack while it is worked on: opened when first asked, asked in parallel.

What the sites say now: the observations, and how they differ from what is recorded.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import NamedTuple, Self, TypeVar

from msgspec.structs import replace

from pragmaspec.errors import PragmaspecError, SiteError, Where
from pragmaspec.planning.drift.refresh import refreshed_state
from pragmaspec.planning.moves.readdress import by_origin
from pragmaspec.planning.observed import Inventory, Observations, StoredImage
from pragmaspec.planning.plan import Drift
from pragmaspec.planning.request import PlanRequest
from pragmaspec.planning.wanted import Wanted
from pragmaspec.providers.base import Provider
from pragmaspec.providers.registry import open_provider
from pragmaspec.resources import StagedImage
from pragmaspec.site import Site
from pragmaspec.state_model import State

_Answer = TypeVar("_Answer")
_MOST_AT_ONCE = 16


class Sites:
    """Providers by the name of their site. Close it when done.

    ``where`` tells where a site is written; it is asked only when one fails.
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
        """The provider of the site ``name``. Raises SiteError when its library is missing or its options are not known."""
        if name not in self._open:
            options = self._options.get(name)
            if options is None:
                raise SiteError(
                    "A site is unknown",
                    f"Site {name} is neither in the spec nor in the recorded state. Put it back into the spec.",
                )
            self._open[name] = open_provider(options)
        return self._open[name]

    def providers(self, names: Iterable[str]) -> dict[str, Provider]:
        """The providers of all ``names``."""
        return {name: self.provider(name) for name in names}

    def observe(self, names: Iterable[str], state: State) -> dict[str, Observations]:
        """The objects of the stack at each site, compared with ``state``: one listing per site, in parallel.

        Raises with every site that failed.
        """
        return self._each(names, lambda provider: provider.observe(state.lineage, state))

    def reread(self, names: Iterable[str]) -> None:
        """Have each site notice files that others made there, at once. Raises with every site that failed."""
        self._each(names, _refresh_storage)

    def inventories(self, names: Iterable[str]) -> dict[str, Inventory]:
        """Capacity and what is taken, of each site, at once. Raises with every site that failed."""
        return self._each(names, lambda provider: provider.inventory())

    def stored(self, names: Iterable[str]) -> dict[str, tuple[StoredImage, ...]]:
        """The images that take up room at each site, at once; none where a site has no such thing. Raises as the others."""
        return self._each(names, _stored_images)

    def close(self) -> None:
        """Let go of every connection."""
        opened, self._open = self._open, {}
        for provider in opened.values():
            provider.close()

    def _each(self, names: Iterable[str], ask: Callable[[Provider], _Answer]) -> dict[str, _Answer]:
        wanted = sorted(set(names))
        providers = self.providers(wanted)
        if len(wanted) < 2:  # noqa: PLR2004 - one site needs no thread
            return {name: self._asked(name, provider, ask) for name, provider in providers.items()}
        answers: dict[str, _Answer] = {}
        failures: list[PragmaspecError] = []
        with ThreadPoolExecutor(max_workers=min(len(wanted), _MOST_AT_ONCE)) as pool:
            asked = {name: pool.submit(self._asked, name, provider, ask) for name, provider in providers.items()}
            for name, answer in asked.items():
                try:
                    answers[name] = answer.result()
                except PragmaspecError as error:
                    failures.append(error)
        if failures:
            kinds = {type(error) for error in failures}
            kind = kinds.pop() if len(kinds) == 1 else SiteError
            raise kind.of(problem for error in failures for problem in error.problems)
        return answers

    def _asked(self, name: str, provider: Provider, ask: Callable[[Provider], _Answer]) -> _Answer:
        try:
            return ask(provider)
        except SiteError as error:
            place = self._where(name)
            raise type(error).of(replace(problem, where=problem.where or place) for problem in error.problems) from error


def known_sites(wanted: Wanted | None, state: State) -> tuple[Site, ...]:
    """The options of every site: as the spec has them, else as they were last used."""
    found = {site.name: site for site in state.sites}
    if wanted is not None:
        found.update((site.name, site) for site in wanted.sites)
    return tuple(found.values())


def sites_in_use(wanted: Wanted, state: State, request: PlanRequest) -> tuple[str, ...]:
    """Names of the sites that a plan has to look at: those with wanted clusters, and those with anything recorded.

    A plan for some clusters only looks only where they are.
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


class SiteSnapshot(NamedTuple):
    """One look at every site where something is recorded; ``seconds``: how long it took.

    In the observations each object goes by the address that it was made under (``Record.made_as``).
    """

    state: State
    observations: Mapping[str, Observations]
    drift: tuple[Drift, ...]
    seconds: float


def take_snapshot(state: State, sites: Sites) -> SiteSnapshot:
    """Look at the sites of all records."""
    began = time.monotonic()
    found = sites.observe({record.resource.site for record in state.records}, state)
    observations = {name: by_origin(seen, state) for name, seen in found.items()}
    return SiteSnapshot(state, observations, refreshed_state(state, observations).drift, time.monotonic() - began)
