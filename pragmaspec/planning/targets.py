"""Selects a part of a plan: --target and --exclude, with dependencies."""

from collections.abc import Container, Iterable
from fnmatch import fnmatchcase
from shlex import quote

from msgspec.structs import replace

from pragmaspec.errors import Problem, UsageError
from pragmaspec.planning.plan import Action
from pragmaspec.planning.request import PlanRequest
from pragmaspec.resources import Node, Resource, StagedImage, Volume
from pragmaspec.text import did_you_mean, joined


def matches(pattern: str, resource: Resource) -> bool:
    """True if ``pattern`` selects ``resource``.

    A pattern is an address, a leading part of one (``lab``, ``lab/hello``), the name of a cluster, node, volume or image, or any
    of these with ``*`` and ``?``.
    """
    pattern = pattern.rstrip("/")
    return any(fnmatchcase(name, pattern) for name in (resource.address, *_names(resource))) or fnmatchcase(
        resource.address, f"{pattern}/*"
    )


def matches_any(patterns: Iterable[str], resource: Resource) -> bool:
    """True if one of ``patterns`` selects ``resource``."""
    return any(matches(pattern, resource) for pattern in patterns)


def selected_addresses(resources: Iterable[Resource], scope: Container[str], request: PlanRequest) -> Container[str]:
    """Return the addresses of ``scope`` at which ``request`` can have actions: see :func:`selected_actions`.

    These are the targets with the allocations and volumes that they need, without the excluded resources.
    """
    if not request.targets and not request.exclude:
        return scope
    resources = [each for each in resources if each.address in scope and not matches_any(request.exclude, each)]
    targets = (*request.targets, *request.replace)
    selected = [each for each in resources if not request.targets or matches_any(targets, each)]
    nodes = [each for each in selected if isinstance(each, Node)]
    needed = {f"{node.site}/{node.cluster}/allocation" for node in nodes}
    needed |= {f"{node.site}/volume/{name}" for node in nodes for name in node.volumes}
    return frozenset(each.address for each in selected) | frozenset(each.address for each in resources if each.address in needed)


def selected_actions(actions: tuple[Action, ...], known: Iterable[Resource], request: PlanRequest) -> tuple[Action, ...]:
    """Return the targeted actions and their dependencies, without the excluded ones and those that depend on them.

    The actions on one resource are kept or dropped together: a node is never shut down without its boot. A node that waits for
    others (``wait_for``) depends on those that do not run yet; any other order between nodes (a frontend is shut down after its
    computes) is kept among the selected nodes, but selects no other node. A volume is excluded with all nodes that need it.

    Raises UsageError for a pattern that matches none of ``known``, or for a target that is excluded as a whole: neither must read
    as "no changes".
    """
    known = tuple(known)
    _refuse_unknown(known, request)
    _refuse_excluded(known, request)
    if not request.targets and not request.exclude:
        return actions
    needs = _needs(actions)
    selected = {
        action.address
        for action in actions
        if not request.targets or matches_any((*request.targets, *request.replace), action.resource)
    }
    queue = list(selected)
    while queue:
        found = needs[queue.pop()] - selected
        selected |= found
        queue += found
    excluded = {action.address for action in actions if matches_any(request.exclude, action.resource)}
    while dependent := {address for address in selected - excluded if not excluded.isdisjoint(needs[address])}:
        excluded |= dependent
    excluded |= _unneeded_volumes(actions, needs, excluded)
    return without_dangling_keys([action for action in actions if action.address in selected - excluded])


def without_dangling_keys(selected: Iterable[Action]) -> tuple[Action, ...]:
    """Return ``selected`` without dependencies on other actions."""
    selected = tuple(selected)
    keys = {action.key for action in selected}
    return tuple(replace(action, after=tuple(key for key in action.after if key in keys)) for action in selected)


def _needs(actions: tuple[Action, ...]) -> dict[str, set[str]]:
    """Map each address to those that it depends on. A node depends on another one only if it waits for its first boot."""
    by_key = {action.key: action for action in actions}
    running = {action.address for action in actions if action.verb == "shutdown"}
    needs: dict[str, set[str]] = {action.address: set() for action in actions}
    for action in actions:
        for key in action.after:
            needed = by_key[key]
            waits = (action.verb, needed.verb) == ("boot", "boot") and needed.address not in running
            if waits or not (isinstance(action.resource, Node) and isinstance(needed.resource, Node)):
                needs[action.address].add(needed.address)
    return needs


def _unneeded_volumes(actions: tuple[Action, ...], needs: dict[str, set[str]], excluded: set[str]) -> set[str]:
    """Return the volumes to allocate that only ``excluded`` resources need."""
    found = {action.address for action in actions if isinstance(action.resource, Volume) and action.verb == "allocate"}
    needed = {each for address, each_needs in needs.items() if address not in excluded for each in each_needs}
    unneeded = {each for address in excluded for each in needs[address]}
    return (found & unneeded) - needed


def _refuse_unknown(resources: tuple[Resource, ...], request: PlanRequest) -> None:
    unknown = [
        (option, pattern)
        for option, patterns in (("--target", request.targets), ("--exclude", request.exclude))
        for pattern in patterns
        if not any(matches(pattern, resource) for resource in resources)
    ]
    if unknown:
        raise UsageError.of(no_match_problem(option, pattern, resources) for option, pattern in unknown)


def _refuse_excluded(resources: tuple[Resource, ...], request: PlanRequest) -> None:
    if not request.exclude:
        return
    targets = [
        target
        for target in request.targets
        if all(matches_any(request.exclude, resource) for resource in resources if matches(target, resource))
    ]
    if targets:
        raise UsageError(
            "Both targeted and excluded",
            f"{joined(targets)}: --exclude matches all that --target selects. Omit one of them. Nothing was changed.",
        )


def no_match_problem(option: str, pattern: str, known: Iterable[Resource], *, nodes_only: bool = False) -> Problem:
    """Return the problem of a ``pattern`` that matches none of ``known``, with the closest name."""
    kinds, target = ("a node, its cluster", "no node") if nodes_only else ("a cluster, a node, an image", "nothing")
    advice = did_you_mean(
        pattern,
        sorted({name for resource in known for name in _names(resource)}),
        otherwise=f"Name {kinds} or an address such as lab/hello/node/hello-compute-0; `*` matches any part.",
    )
    detail = f"`{option} {quote(pattern)}` matches {target} in the spec or the state. {advice}"
    return Problem(summary="No matching resource", detail=detail)


def _names(resource: Resource) -> tuple[str, ...]:
    """Return the names that select ``resource``, besides its address."""
    if isinstance(resource, StagedImage):
        return (resource.name,)
    return (resource.cluster, resource.name) if isinstance(resource, Node | Volume) else (resource.cluster,)
