"""Making a plan with real parts: look at the sites, ask for inventories only where something grows, then plan purely."""

from msgspec.structs import replace

from pragmaspec import __version__
from pragmaspec.planning.observed import Observations
from pragmaspec.planning.planner import make_plan, needs_inventory
from pragmaspec.planning.request import PlanRequest
from pragmaspec.planning.wanted import Wanted
from pragmaspec.recorded import State
from pragmaspec.stack.readable import ReadablePlan
from pragmaspec.stack.sites import Sites, sites_in_use


def planned(wanted: Wanted, state: State, sites: Sites, request: PlanRequest, *, refresh: bool = True) -> ReadablePlan:
    """The plan. Without ``refresh`` the sites are taken to be as recorded, and asked only for capacity where something grows.

    Raises PlanError, SiteError, UsageError.
    """
    observations: dict[str, Observations] = sites.observe(sites_in_use(wanted, state, request), state.lineage) if refresh else {}
    inventories = sites.inventories(needs_inventory(wanted, state, request))
    return ReadablePlan.of(replace(make_plan(wanted, state, observations, inventories, request), tool=__version__))
