"""Processors of nodes: the site's default for new ones, and requests that the site cannot fulfil. Pure.

A recorded node keeps its processor. One that was made before processors were recorded gets the default when it is made anew.
"""

from collections.abc import Container, Iterable, Iterator

from msgspec.structs import replace

from pragmaspec.errors import Problem
from pragmaspec.planning.desired import Desired
from pragmaspec.planning.diff import changed_fields
from pragmaspec.planning.impact import node_impact
from pragmaspec.planning.observed import Inventory
from pragmaspec.resources import Node
from pragmaspec.state_model import State
from pragmaspec.text import did_you_mean, joined

MAX_PROCESSORS = 12
"""Number of processors that an error names."""


def with_default_processors(
    desired: Iterable[Desired], site: str, inventory: Inventory, state: State, made_anew: Container[str]
) -> Iterator[Desired]:
    """Yield ``desired`` with the default processor for nodes of ``site`` that have none and whose machines are made anew.

    ``made_anew``: addresses of recorded nodes without a machine, and of those to replace.
    """
    for entry in desired:
        node = entry.resource
        if isinstance(node, Node) and node.site == site and not node.cpu and _is_made(node, state, made_anew):
            yield entry._replace(resource=replace(node, cpu=inventory.default_processor))
        else:
            yield entry


def processor_problems(
    site: str, inventory: Inventory, here: Iterable[Desired], state: State, made_anew: Container[str]
) -> Iterator[Problem]:
    """Yield one problem per line of the spec and processor that ``site`` cannot give to a new or changed node."""
    offered = inventory.processors or ()
    reported = set()
    for entry in here:
        node = entry.resource
        if not isinstance(node, Node) or not node.running or not node.cpu or node.cpu in offered:
            continue
        key = (node.cpu, entry.where)
        if key not in reported and (_differs(node, state) or _is_made(node, state, made_anew)):
            reported.add(key)
            yield _problem(site, offered, entry, node)


def _problem(site: str, offered: tuple[str, ...], entry: Desired, node: Node) -> Problem:
    known = f"It can give {joined(offered, MAX_PROCESSORS)}. Write one of these as `cpu`, or use another site."
    if not offered:
        known = "It chooses the processors of its machines itself. Remove `cpu`, or use another site."
    hint = known if node.cpu.startswith("x86-64") or not offered else did_you_mean(node.cpu, offered, known)
    return Problem(
        summary="The site cannot give this processor",
        detail=f"{node.name} has the processor {node.cpu}, which site {site} cannot give. {hint}",
        where=entry.where,
    )


def _recorded(node: Node, state: State) -> Node | None:
    record = state.record(node.address)
    return record.resource if record is not None and isinstance(record.resource, Node) else None


def _differs(node: Node, state: State) -> bool:
    before = _recorded(node, state)
    return before is not None and before.cpu != node.cpu


def _is_made(node: Node, state: State, made_anew: Container[str]) -> bool:
    """True if ``node`` gets a new machine."""
    before = _recorded(node, state)
    if before is None or node.address in made_anew:
        return True
    return node_impact(before, node, changed_fields(before, node)) == "rebuild"
