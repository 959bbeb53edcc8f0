"""Nodes that a command requests to rebuild although they have not changed. Pure."""

from collections.abc import Iterable

from pragmaspec.errors import PlanError, Problem, UsageError
from pragmaspec.planning.desired import Desired
from pragmaspec.planning.request import PlanRequest
from pragmaspec.planning.targets import matches_any, no_match_problem
from pragmaspec.resources import Node
from pragmaspec.state_model import State
from pragmaspec.text import joined


def replaced_nodes(state: State, request: PlanRequest) -> frozenset[str]:
    """Return the addresses of the recorded nodes to rebuild. Raises UsageError for a node that is excluded, too."""
    if not request.replace:
        return frozenset()
    found = [node for node in state.nodes() if matches_any(request.replace, node)]
    excluded = [node.name for node in found if matches_any(request.exclude, node)]
    if excluded:
        raise UsageError(
            "Both replaced and excluded",
            f"{joined(excluded)}: both --replace and --exclude match. Omit one of them. Nothing was changed.",
        )
    return frozenset(node.address for node in found)


def check_replacements(desired: Iterable[Desired], state: State, request: PlanRequest) -> None:
    """Raise UsageError for a pattern that matches no node, PlanError for a node that this plan cannot rebuild."""
    if not request.replace:
        return
    wanted = {each.address: (each, where) for each, where in desired if isinstance(each, Node)}
    known = {**{node.address: node for node in state.nodes()}, **{address: node for address, (node, _) in wanted.items()}}
    unknown = [pattern for pattern in request.replace if not any(matches_any([pattern], node) for node in known.values())]
    if unknown:
        raise UsageError.of(no_match_problem("--replace", pattern, known.values(), nodes_only=True) for pattern in unknown)
    problems = [
        Problem(
            summary="A node that is off cannot be replaced",
            detail=f"{node.name} should be off, and replacing it boots a new one. Switch its cluster on first, or omit the node "
            "from --replace.",
            where=where,
        )
        for node, where in wanted.values()
        if not node.running and matches_any(request.replace, node)
    ]
    problems += [
        Problem(
            summary="A removed node cannot be replaced",
            detail=f"{node.name} is no longer wanted, and this plan removes it. Omit it from --replace.",
        )
        for node in state.nodes()
        if node.address not in wanted and not {node.name, node.address}.isdisjoint(request.replace)
    ]
    if problems:
        raise PlanError.of(problems)
