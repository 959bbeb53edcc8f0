"""The facts that a plan is made from, all by recorded addresses. Pure."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from pragmaspec.planning.drift.refresh import RefreshedState, refreshed_state
from pragmaspec.planning.moves.moves import moved_state
from pragmaspec.planning.moves.readdress import by_recorded_address, observations_by_origin
from pragmaspec.planning.observed import Inventory, Observations
from pragmaspec.planning.request import PlanRequest
from pragmaspec.planning.wanted import Move
from pragmaspec.state_model import State


class SiteFacts(NamedTuple):
    """The recorded state after the moves, the observations and inventories of sites, and the drift between them."""

    moved: State
    observed: Mapping[str, Observations]
    inventories: Mapping[str, Inventory]
    refreshed: RefreshedState


def site_facts(
    state: State,
    moves: Iterable[Move],
    observations: Mapping[str, Observations],
    inventories: Mapping[str, Inventory],
    request: PlanRequest,
) -> SiteFacts:
    """Return the facts, after ``moves`` were made. Raises PlanError and PlanRefusedError."""
    moved = moved_state(state, moves)
    observed = observations_by_origin(observations, moved, moves)
    known = {name: by_recorded_address(inventory, moved, name) for name, inventory in inventories.items()}
    return SiteFacts(moved, observed, known, refreshed_state(moved, observed, accept_missing=request.accept_missing))
