"""Machines attached to networks that a plan removes. Pure."""

from collections.abc import Sequence

from pragmaspec.errors import Problem
from pragmaspec.frozen import Frozen
from pragmaspec.resources import Allocation
from pragmaspec.text import joined


class AttachedMachine(Frozen, frozen=True):
    """A machine attached to a network, running or only defined."""

    machine: str
    network: str
    """The site's name of the network."""
    lineage: str = ""
    """Lineage of its marks; empty: none."""
    address: str = ""
    """Address of its marks; empty: none."""
    unplug: str = ""
    """Command that detaches its interface; empty: unknown."""


IN_USE = "A network to remove is used by other machines"


def network_in_use(others: Sequence[AttachedMachine], allocation: Allocation) -> Problem:
    """Return the problem of removing networks of ``allocation`` that ``others``, at least one, are attached to."""
    names = joined([f"{each.machine} on {each.network}" for each in others])
    command = next((each.unplug for each in others if each.unplug), "")
    if len(others) == 1:
        networks, remedy = "a network that another machine uses", f"Detach it first{f': {command}' if command else '.'}"
    else:
        networks, remedy = (
            "networks that other machines use",
            f"Detach them first{f', for example: {command}' if command else '.'}",
        )
    return Problem(
        summary=IN_USE,
        detail=f"Cluster {allocation.cluster} at site {allocation.site} would lose {networks}: {names}. {remedy}",
    )
