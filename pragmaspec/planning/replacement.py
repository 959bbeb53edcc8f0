"""Nodes that are replaced on request, though nothing about them has changed. Pure."""

from collections.abc import Iterable

from pragmaspec.errors import PlanError, Problem, UsageError
from pragmaspec.planning.desired import Desired
from pragmaspec.planning.request import PlanRequest
from pragmaspec.planning.targets import matches, no_match_problem
from pragmaspec.resources import Node
from pragmaspec.state_model import State
from pragmaspec.text import joined


def replaced_nodes(state: State, request: PlanRequest) -> frozenset[str]:
    """Addresses of the recorded nodes that ``request`` names. Raises UsageError for one that it excludes, too."""
    found = [node for node in state.nodes() if _meant(node, request.replace)]
    both = [node.name for node in found if _meant(node, request.exclude)]
    if both:
        detail = f"{joined(both)}: --replace asks for it and --exclude leaves it out. Take one of them away. Nothing was changed."
        raise UsageError("Both replaced and excluded", detail)
    return frozenset(node.address for node in found)


def check_replacements(desired: Iterable[Desired], state: State, request: PlanRequest) -> None:
    """Raise UsageError for a pattern that means no node, PlanError for a node that cannot be made anew by this plan."""
    if not request.replace:
        return
    wanted = {each.address: (each, where) for each, where in desired if isinstance(each, Node)}
    known = {**{node.address: node for node in state.nodes()}, **{address: node for address, (node, _) in wanted.items()}}
    unknown = [pattern for pattern in request.replace if not any(matches(pattern, node) for node in known.values())]
    if unknown:
        raise UsageError.of(no_match_problem("--replace", pattern, known.values(), nodes=True) for pattern in unknown)
    problems = [
        Problem(
            summary="A node that is off cannot be replaced",
            detail=f"{node.name} shall be off, and a node is replaced by booting another in its place. Let its cluster run "
            "first, or leave it out of --replace.",
            where=where,
        )
        for node, where in wanted.values()
        if not node.running and _meant(node, request.replace)
    ]
    problems += [
        Problem(
            summary="A node that goes cannot be replaced",
            detail=f"{node.name} is no longer wanted: this plan removes it. Take it out of --replace.",
        )
        for node in state.nodes()
        if node.address not in wanted and not {node.name, node.address}.isdisjoint(request.replace)
    ]
    if problems:
        raise PlanError.of(problems)


def _meant(node: Node, patterns: Iterable[str]) -> bool:
    return any(matches(pattern, node) for pattern in patterns)
