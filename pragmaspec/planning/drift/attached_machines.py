"""Machines on networks that are about to go, and what is said when they are not of the cluster that has them. Pure."""

from collections.abc import Sequence

from pragmaspec.errors import Problem
from pragmaspec.frozen import Frozen
from pragmaspec.resources import Allocation
from pragmaspec.text import joined


class AttachedMachine(Frozen, frozen=True):
    """A machine that is plugged into a network, running or only defined.

    ``network`` is what the site calls it. ``lineage`` and ``address`` are those of its marks, empty where it has none. ``unplug``
    is the command that takes its interface away, empty where none is known.
    """

    machine: str
    network: str
    lineage: str = ""
    address: str = ""
    unplug: str = ""


IN_USE = "Other machines use a network that is to be removed"


def network_in_use(others: Sequence[AttachedMachine], held: Allocation) -> Problem:
    """The machines on networks that ``held`` is to lose, and what to do about them. ``others`` has at least one."""
    names = joined([f"{each.machine} on {each.network}" for each in others])
    command = next((each.unplug for each in others if each.unplug), "")
    if len(others) == 1:
        lost, how = "a network that another machine uses", f"Unplug it first{f': {command}' if command else '.'}"
    else:
        lost, how = "networks that other machines use", f"Unplug them first{f', for example: {command}' if command else '.'}"
    return Problem(summary=IN_USE, detail=f"Cluster {held.cluster} at site {held.site} would lose {lost}: {names}. {how}")
