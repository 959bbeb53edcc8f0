"""What the sites say now: the observations, and how they differ from what is recorded."""

import time
from collections.abc import Mapping
from typing import NamedTuple

from pragmaspec.planning.drift import facts
from pragmaspec.planning.observed import Observations
from pragmaspec.planning.plan import Drift
from pragmaspec.recorded import State
from pragmaspec.stack.sites import Sites


class Look(NamedTuple):
    """One look at every site where something is recorded; ``seconds``: how long it took."""

    state: State
    observations: Mapping[str, Observations]
    drift: tuple[Drift, ...]
    seconds: float


def look(state: State, sites: Sites) -> Look:
    """Look at the sites of all records."""
    began = time.monotonic()
    observations = sites.observe({record.resource.site for record in state.records}, state.lineage)
    return Look(state, observations, facts(state, observations).drift, time.monotonic() - began)
