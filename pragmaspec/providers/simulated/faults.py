"""Injected faults: which one strikes a call, and what the caller is told."""

from collections.abc import Sequence

import msgspec

from pragmaspec.errors import SiteError, SiteUnreachableError
from pragmaspec.providers.simulated.objects import CallCount
from pragmaspec.providers.simulated.world import World
from pragmaspec.site import Fault


def find_fault(world: World, faults: Sequence[Fault], call: str, address: str) -> Fault | None:
    """The first fault that strikes this call, or None. Counts the call for every fault that waits for its ``nth``."""
    struck = [fault for fault in faults if fault.call == call and fault.match in address and _due(world, fault)]
    return struck[0] if struck else None


def refused_error(fault: Fault) -> SiteError:
    """What a refused call answers."""
    return SiteError("The site refused a call", f"The simulated site was told to refuse {fault.call}. Nothing happened there.")


def lost_error(fault: Fault) -> SiteUnreachableError:
    """What the caller learns when the answer was lost: nothing about whether it happened."""
    return SiteUnreachableError(
        "The site's answer was lost",
        f"The simulated site was told to lose its answer to {fault.call}. It may have happened; the next plan looks.",
    )


def _due(world: World, fault: Fault) -> bool:
    if fault.nth == 0:
        return True
    # The fault's own words are its name: one that is changed in the spec starts to count anew.
    name = msgspec.json.encode(fault).decode()
    before = world.calls.get(("calls", "", name))
    count = before.count + 1 if before else 1
    world.put(CallCount(fault=name, count=count))
    return count == fault.nth
