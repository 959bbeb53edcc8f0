"""Injected faults, and the errors that they raise."""

from collections.abc import Sequence

import msgspec

from pragmaspec.errors import SiteError, SiteUnreachableError
from pragmaspec.providers.simulated.objects import CallCount
from pragmaspec.providers.simulated.world import World
from pragmaspec.site import Fault


def find_fault(world: World, faults: Sequence[Fault], call: str, address: str) -> Fault | None:
    """The first fault for this call, or None. Counts the call for every fault with ``nth``."""
    matching = [fault for fault in faults if fault.call == call and fault.match in address and _due(world, fault)]
    return matching[0] if matching else None


def refused_error(fault: Fault) -> SiteError:
    """The error of a refused call."""
    return SiteError("The site refused a call", f"The simulated site is set to refuse {fault.call}. The call had no effect.")


def lost_error(fault: Fault) -> SiteUnreachableError:
    """The error of a lost response, which does not reveal whether the call had an effect."""
    return SiteUnreachableError(
        "The site's response was lost",
        f"The simulated site is set to lose its response to {fault.call}. The call may have had an effect; the next plan "
        "observes it.",
    )


def _due(world: World, fault: Fault) -> bool:
    if fault.nth == 0:
        return True
    # The fault's options are its name: a fault that is changed in the spec counts from 0.
    name = msgspec.json.encode(fault).decode()
    before = world.calls.get(("calls", "", name))
    count = before.count + 1 if before else 1
    world.put(CallCount(fault=name, count=count))
    return count == fault.nth
