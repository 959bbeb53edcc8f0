"""Computes plans from real sites: observes them, and reads inventories only where a stack grows. The planning itself is pure."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple, Self

from msgspec.structs import replace

from pragmaspec._version import __version__
from pragmaspec.planning.images.prune import prune_sites
from pragmaspec.planning.observed import Observations
from pragmaspec.planning.plan import Plan
from pragmaspec.planning.planner import make_plan, sites_booting_nodes, sites_needing_inventory
from pragmaspec.planning.request import PlanRequest
from pragmaspec.planning.wanted import Wanted
from pragmaspec.report.plan.text import plan_text
from pragmaspec.stack.location import StackLocation
from pragmaspec.stack.resolve_spec import site_position
from pragmaspec.stack.sites import Sites, known_sites, sites_in_use
from pragmaspec.state_model import State
from pragmaspec.typing import override

if TYPE_CHECKING:
    from pragmaspec.images.library import ImageLibrary
    from pragmaspec.planning.wanted import PublicCopy, WantedImage

PLAN_WIDTH = 120


class ReadablePlan(Plan, frozen=True):
    """A :class:`~pragmaspec.planning.plan.Plan` with the output of ``pragmaspec plan`` as its text."""

    @override
    def __str__(self) -> str:
        return plan_text(self, width=PLAN_WIDTH, colour=False).rstrip("\n")

    __repr__ = __str__
    """Shown by notebooks and the Python prompt."""

    @classmethod
    def of(cls, plan: Plan) -> Self:
        """Return ``plan`` as a readable one."""
        return cls(**{name: getattr(plan, name) for name in plan.__struct_fields__})


class PlannerSources(NamedTuple):
    """The sources of a planner besides its spec, state and sites.

    ``library`` opens the image library; ``reread`` reads the spec again, with all details of the given clusters; ``location`` has
    the lock file.
    """

    library: "Callable[[], ImageLibrary]"
    reread: Callable[[frozenset[str]], Wanted]
    location: StackLocation


class Planner:
    """Plans for one stack with open ``sites``."""

    def __init__(self, wanted: Wanted, state: State, sites: Sites, sources: PlannerSources) -> None:
        self.wanted = wanted
        self.sites = sites
        self.sources = sources
        self._state = state

    def library(self) -> "ImageLibrary":
        """Return the image library."""
        return self.sources.library()

    def copy_of(self, image: "WantedImage") -> "PublicCopy | None":
        """Return the public download of ``image``, if there is one."""
        return self.library().public_copy(image)

    @property
    def state(self) -> State:
        """The recorded state."""
        return self._state

    def plan(self, request: PlanRequest, *, refresh: bool = True) -> ReadablePlan:
        """Return the plan for ``request``. Raises SpecError, ImageError and the errors of :func:`compute_plan`.

        The details of a cluster that is switched on are read only if one of its nodes has to be created.
        """
        self._read_details(clusters_to_create(self.wanted, self.state, request))
        plan = compute_plan(self.wanted, self.state, self.sites, request, refresh=refresh, copies=self.copy_of)
        missing = {drift.address.split("/")[1] for drift in plan.drift if drift.kind == "gone" and "/node/" in drift.address}
        if self._read_details(frozenset(name for name in missing if (name, True) in request.running)):
            plan = compute_plan(self.wanted, self.state, self.sites, request, refresh=refresh, copies=self.copy_of)
        return self._with_image_warnings(self._with_pinned_processors(plan))

    def _with_pinned_processors(self, plan: ReadablePlan) -> ReadablePlan:
        """Pin the default processors that ``plan`` has chosen in the lock file, so that later plans choose the same.

        If the file cannot or must not be written, the plan has a warning.
        """
        if self.sources.location.spec is None or not any(each.default_processor for each in plan.sites):
            return plan
        from pragmaspec.stack.images.processors import pin_chosen_processors

        spec = self.sources.location.spec_file
        found = pin_chosen_processors(spec, plan, self.wanted, locked=self.library().locked)
        return replace(plan, warnings=(*plan.warnings, *found)) if found else plan

    def _with_image_warnings(self, plan: ReadablePlan) -> ReadablePlan:
        """Return ``plan`` with a warning for every unbootable image that it boots."""
        if not any(action.verb == "boot" for action in plan.actions):
            return plan
        from pragmaspec.planning.images.firmware import unbootable_image_warnings

        found = unbootable_image_warnings(plan.actions, self.wanted, self.library().unbootable_reason)
        return replace(plan, warnings=(*plan.warnings, *found)) if found else plan

    def _read_details(self, clusters: frozenset[str]) -> bool:
        """Read the spec again if details of ``clusters`` are missing, and return True if it was read."""
        needed = frozenset(name for name in clusters if self.wanted.cluster(name) is not None)
        if self.wanted.need is None or needed.issubset(self.wanted.need):
            return False
        self.wanted = self.sources.reread(needed.union(self.wanted.need))
        return True


@contextmanager
def open_planner(wanted: Wanted, state: State, sources: PlannerSources) -> Iterator[Planner]:
    """A planner whose sites are open inside the context."""
    with Sites(known_sites(wanted, state), lambda name: site_position(sources.location, name)) as sites:
        yield Planner(wanted, state, sites, sources)


def clusters_to_create(wanted: Wanted, state: State, request: PlanRequest) -> frozenset[str]:
    """Return the clusters that ``request`` switches on and that have unrecorded nodes."""
    found: set[str] = set()
    for name, running in request.running:
        cluster = wanted.cluster(name)
        if running and cluster is not None:
            recorded = {(node.group_name, node.index) for node in state.nodes(name) if node.site == cluster.site}
            wanted_nodes = {(group, index) for group, nodes in cluster.sets for index in range(nodes.count)}
            found |= {name} if wanted_nodes - recorded else set()
    return frozenset(found)


def compute_plan(
    wanted: Wanted,
    state: State,
    sites: Sites,
    request: PlanRequest,
    *,
    refresh: bool = True,
    copies: "Callable[[WantedImage], PublicCopy | None] | None" = None,
) -> ReadablePlan:
    """Return the plan. Without ``refresh`` the recorded state is trusted, and only the capacity of growing sites is read.

    ``copies`` returns the public download of an image; without it the plan has no image routes. Raises PlanError, SiteError and
    UsageError.
    """
    observations: dict[str, Observations] = sites.observe(sites_in_use(wanted, state, request), state) if refresh else {}
    inventories = sites.inventories(sites_needing_inventory(wanted, state, request))
    stored = sites.stored_images(prune_sites(wanted, state, request)) if request.prune_images else {}
    plan = make_plan(wanted, state, observations, inventories, request, stored)
    unread = sites_booting_nodes(plan) - inventories.keys()
    if unread:
        inventories |= sites.inventories(unread)
        plan = make_plan(wanted, state, observations, inventories, request, stored)
    plan = replace(plan, tool=__version__)
    if plan.actions:
        from pragmaspec.stack.images.site_images import check_site_images

        check_site_images(plan, wanted, state, sites)
    if refresh:
        plan = _with_networks_in_use(plan, state, sites)
    if copies is not None:
        plan = _with_image_routes(plan, wanted, state, copies)
    if refresh and plan.actions:
        from pragmaspec.planning.fingerprint import with_fingerprints

        plan = with_fingerprints(plan, state, observations)
    return ReadablePlan.of(plan)


def _with_networks_in_use(plan: Plan, state: State, sites: Sites) -> Plan:
    """Return ``plan`` with a warning for every network to remove that foreign machines use."""
    from pragmaspec.stack.network_use import networks_in_use

    used = tuple(replace(problem, severity="warning") for problem in networks_in_use(plan, state, sites))
    return replace(plan, warnings=(*plan.warnings, *used)) if used else plan


def _with_image_routes(plan: Plan, wanted: Wanted, state: State, copies: "Callable[[WantedImage], PublicCopy | None]") -> Plan:
    """Return ``plan`` with the routes of the images that it stages."""
    if not any(action.verb == "stage" for action in plan.actions):
        return plan
    from pragmaspec.planning.images.routes import with_routes

    by_digest = {image.digest: image for image in wanted.images}
    return with_routes(plan, lambda digest: copies(by_digest[digest]) if digest in by_digest else None, state)
