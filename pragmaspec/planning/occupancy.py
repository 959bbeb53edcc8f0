"""Machines on networks that are about to go, and what is said when they are not of the cluster that has them. Pure."""

from collections.abc import Sequence

from pragmaspec.errors import Problem
from pragmaspec.frozen import Frozen
from pragmaspec.planning.safety import few
from pragmaspec.recorded import Allocation


class Occupant(Frozen, frozen=True):
    """A machine that is plugged into a network, running or only defined.

    ``network`` is what the site calls it. ``lineage`` and ``address`` are those of its marks, empty where it has none. ``unplug``
    is the command that takes its interface away, empty where none is known.
    """

    machine: str
    network: str
    lineage: str = ""
    address: str = ""
    unplug: str = ""


def in_use(others: Sequence[Occupant], held: Allocation) -> Problem:
    """Who is plugged into what ``held`` has and is to lose, and what to do. ``others`` has at least one."""
    names = few([f"{each.machine} on {each.network}" for each in others])
    command = next((each.unplug for each in others if each.unplug), "")
    return Problem(
        summary="Machines of others use a network that would go",
        detail=f"Networks of cluster {held.cluster} at site {held.site} would be removed, and plugged into them "
        f"{'is' if len(others) == 1 else 'are'}: {names}. That is not done while they are. Unplug "
        f"{'it' if len(others) == 1 else 'them'} first{f', for example: {command}' if command else '.'}",
    )
