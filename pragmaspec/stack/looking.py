"""What the sites say now: the observations, and how they differ from what is recorded."""

import time
from collections.abc import Mapping
from typing import NamedTuple

from pragmaspec.planning.drift import facts
from pragmaspec.planning.observed import Observations
from pragmaspec.planning.plan import Drift
from pragmaspec.planning.sighting import as_made
from pragmaspec.recorded import State
from pragmaspec.stack.sites import Sites


class Look(NamedTuple):
    """One look at every site where something is recorded; ``seconds``: how long it took.

    In the observations each object goes by the address that it was made under (``Record.made_as``).
    """

    state: State
    observations: Mapping[str, Observations]
    drift: tuple[Drift, ...]
    seconds: float


def look(state: State, sites: Sites) -> Look:
    """Look at the sites of all records."""
    began = time.monotonic()
    found = sites.observe({record.resource.site for record in state.records}, state)
    observations = {name: as_made(seen, state) for name, seen in found.items()}
    return Look(state, observations, facts(state, observations).drift, time.monotonic() - began)
