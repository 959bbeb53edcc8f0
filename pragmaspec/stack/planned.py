"""Making a plan with real parts: look at the sites, ask for inventories only where something grows, then plan purely."""

from typing import TYPE_CHECKING

from msgspec.structs import replace

from pragmaspec import __version__
from pragmaspec.planning.observed import Observations
from pragmaspec.planning.planner import make_plan, needs_inventory
from pragmaspec.planning.pruning import prune_sites
from pragmaspec.planning.request import PlanRequest
from pragmaspec.planning.wanted import Wanted
from pragmaspec.recorded import State
from pragmaspec.stack.readable import ReadablePlan
from pragmaspec.stack.sites import Sites, sites_in_use

if TYPE_CHECKING:
    from collections.abc import Callable

    from pragmaspec.planning.wanted import PublicCopy, WantedImage


def planned(
    wanted: Wanted,
    state: State,
    sites: Sites,
    request: PlanRequest,
    *,
    refresh: bool = True,
    copies: "Callable[[WantedImage], PublicCopy | None] | None" = None,
) -> ReadablePlan:
    """The plan. Without ``refresh`` the sites are taken to be as recorded, and asked only for capacity where something grows.

    ``copies`` tells where else an image can be had; without it the plan does not say which way images take.
    Raises PlanError, SiteError, UsageError.
    """
    observations: dict[str, Observations] = sites.observe(sites_in_use(wanted, state, request), state) if refresh else {}
    inventories = sites.inventories(needs_inventory(wanted, state, request))
    stored = sites.stored(prune_sites(wanted, state, request)) if request.prune_images else {}
    plan = replace(make_plan(wanted, state, observations, inventories, request, stored), tool=__version__)
    if refresh:
        from pragmaspec.stack.occupied import occupied

        used = tuple(replace(problem, severity="warning") for problem in occupied(plan, state, sites))
        plan = replace(plan, warnings=(*plan.warnings, *used)) if used else plan
    if copies is not None and any(action.verb == "stage" for action in plan.actions):
        from pragmaspec.planning.ways import with_ways

        by_digest = {image.digest: image for image in wanted.images}
        plan = with_ways(plan, lambda digest: copies(by_digest[digest]) if digest in by_digest else None, state)
    if refresh and plan.actions:
        from pragmaspec.planning.fingerprint import with_fingerprints

        plan = with_fingerprints(plan, state, observations)
    return ReadablePlan.of(plan)
