"""Planning a part: --target and --exclude by address, with dependencies kept."""

from collections.abc import Iterable
from fnmatch import fnmatchcase
from shlex import quote

from msgspec.structs import replace

from pragmaspec.errors import Problem, UsageError
from pragmaspec.planning.plan import Action
from pragmaspec.planning.request import PlanRequest
from pragmaspec.resources import Node, Resource, StagedImage


def matches(pattern: str, resource: Resource) -> bool:
    """Whether ``pattern`` means ``resource``.

    It does as an address, a leading part of one (``lab``, ``lab/hello``), the name of a cluster, node or image, or any of these
    with ``*`` and ``?``.
    """
    wanted = pattern.rstrip("/")
    return any(fnmatchcase(name, wanted) for name in (resource.address, *_names(resource))) or fnmatchcase(
        resource.address, f"{wanted}/*"
    )


def selected_actions(actions: tuple[Action, ...], known: Iterable[Resource], request: PlanRequest) -> tuple[Action, ...]:
    """The actions that ``request`` asks for, with all they need, without what is excluded and what would need that.

    All actions on one resource stay or go together: no node is shut down whose boot is left out. The order between nodes (a
    frontend goes down after its computes) is kept among the nodes that stay, and is no reason to touch another node.
    Raises UsageError when a pattern means nothing among ``known`` resources: a typing error must not look like "no changes".
    """
    _refuse_unknown(known, request)
    if not request.targets and not request.exclude:
        return actions
    needs = _needs(actions)
    kept = {
        action.address
        for action in actions
        if not request.targets or any(matches(pattern, action.resource) for pattern in (*request.targets, *request.replace))
    }
    waiting = list(kept)
    while waiting:
        found = needs[waiting.pop()] - kept
        kept |= found
        waiting += found
    dropped = {action.address for action in actions if any(matches(pattern, action.resource) for pattern in request.exclude)}
    while True:
        dependent = {address for address in kept - dropped if not dropped.isdisjoint(needs[address])}
        if not dependent:
            break
        dropped |= dependent
    return _with_kept_order([action for action in actions if action.address in kept - dropped])


def _needs(actions: tuple[Action, ...]) -> dict[str, set[str]]:
    """The addresses that each address cannot do without: what its actions wait for, but no node needs another."""
    resources = {action.key: action.resource for action in actions}
    needs: dict[str, set[str]] = {action.address: set() for action in actions}
    for action in actions:
        for key in action.after:
            needed = resources[key]
            if not (isinstance(action.resource, Node) and isinstance(needed, Node)):
                needs[action.address].add(needed.address)
    return needs


def _with_kept_order(kept: list[Action]) -> tuple[Action, ...]:
    keys = {action.key for action in kept}
    return tuple(replace(action, after=tuple(key for key in action.after if key in keys)) for action in kept)


def _refuse_unknown(known: Iterable[Resource], request: PlanRequest) -> None:
    resources = tuple(known)
    unknown = [
        (option, pattern)
        for option, patterns in (("--target", request.targets), ("--exclude", request.exclude))
        for pattern in patterns
        if not any(matches(pattern, resource) for resource in resources)
    ]
    if unknown:
        raise UsageError.of((no_match_problem(option, pattern, resources) for option, pattern in unknown))


def no_match_problem(option: str, pattern: str, known: Iterable[Resource], *, nodes: bool = False) -> Problem:
    """The problem of a ``pattern`` that means nothing among ``known``, with the name that comes nearest to it.

    ``nodes``: only nodes can be meant.
    """
    from difflib import get_close_matches  # noqa: PLC0415 - only after a typing error

    resources = tuple(known)
    near = get_close_matches(pattern, sorted({name for resource in resources for name in _names(resource)}), n=1)
    kinds, meant = ("a node, its cluster", "no node") if nodes else ("a cluster, a node, an image", "nothing")
    advice = (
        f"Did you mean {near[0]}?"
        if near
        else f"Name {kinds} or an address such as lab/hello/node/hello-compute-0; `*` stands for any part."
    )
    detail = f"`{option} {quote(pattern)}` means {meant} in the spec or the state. {advice}"
    return Problem(summary="Nothing has this address", detail=detail)


def _names(resource: Resource) -> tuple[str, ...]:
    """Names that select ``resource``, beside its address."""
    if isinstance(resource, StagedImage):
        return (resource.name,)
    return (resource.cluster, resource.name) if isinstance(resource, Node) else (resource.cluster,)
