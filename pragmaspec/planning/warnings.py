"""Warnings of a plan. Pure."""

from collections.abc import Mapping

from msgspec.structs import replace

from pragmaspec.errors import Problem
from pragmaspec.planning.drift.public_network import mtu_warnings
from pragmaspec.planning.observed import Observations
from pragmaspec.planning.request import PlanRequest
from pragmaspec.planning.wanted import Wanted
from pragmaspec.state_model import State


def plan_warnings(
    wanted: Wanted, state: State, observations: Mapping[str, Observations], request: PlanRequest
) -> tuple[Problem, ...]:
    """Return the warnings about the sites, and those about the spec unless the command only switches or removes clusters."""
    about_spec = () if request.running or request.drop else wanted.warnings
    return (
        *(replace(warning, quote=None) for warning in about_spec),
        *(warning for seen in observations.values() for warning in (*seen.warnings, *mtu_warnings(state.records, seen))),
    )
