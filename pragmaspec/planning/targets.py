"""Planning a part: --target and --exclude by address, with dependencies kept."""

from collections.abc import Iterable
from fnmatch import fnmatchcase

from pragmaspec.errors import Problem, UsageError
from pragmaspec.planning.plan import Action
from pragmaspec.planning.request import PlanRequest
from pragmaspec.recorded import Node, Resource, StagedImage


def matches(pattern: str, resource: Resource) -> bool:
    """Whether ``pattern`` means ``resource``.

    It does as an address, a leading part of one (``lab``, ``lab/hello``), the name of a cluster, node or image, or any of these
    with ``*`` and ``?``.
    """
    names = [resource.address]
    if isinstance(resource, StagedImage):
        names += [resource.name, resource.site]
    else:
        names += [resource.cluster, resource.site, f"{resource.site}/{resource.cluster}"]
        if isinstance(resource, Node):
            names.append(resource.name)
    wanted = pattern.rstrip("/")
    return any(fnmatchcase(name, wanted) for name in names)


def narrowed(actions: tuple[Action, ...], known: Iterable[Resource], request: PlanRequest) -> tuple[Action, ...]:
    """The actions that ``request`` asks for, with all they wait for, without what is excluded and what would wait for that.

    Raises UsageError when a pattern means nothing among ``known`` resources: a typing error must not look like "no changes".
    """
    _refuse_unknown(known, request)
    by_key = {action.key: action for action in actions}
    kept = set(by_key)
    if request.targets:
        kept = {action.key for action in actions if any(matches(pattern, action.resource) for pattern in request.targets)}
        waiting = list(kept)
        while waiting:
            for key in by_key[waiting.pop()].after:
                if key not in kept:
                    kept.add(key)
                    waiting.append(key)
    dropped = {action.key for action in actions if any(matches(pattern, action.resource) for pattern in request.exclude)}
    while True:
        dependent = {key for key in kept - dropped if dropped.intersection(by_key[key].after)}
        if not dependent:
            break
        dropped |= dependent
    return tuple(action for action in actions if action.key in kept and action.key not in dropped)


def _refuse_unknown(known: Iterable[Resource], request: PlanRequest) -> None:
    resources = tuple(known)
    unknown = [
        (option, pattern)
        for option, patterns in (("--target", request.targets), ("--exclude", request.exclude))
        for pattern in patterns
        if not any(matches(pattern, resource) for resource in resources)
    ]
    if unknown:
        raise UsageError(
            *(
                Problem(
                    summary="Nothing has this address",
                    detail=f"`{option} {pattern}` means nothing in the spec or the state. Name a cluster, a node, an image or an "
                    "address such as lab/hello/node/hello-compute-0; `*` stands for any part.",
                )
                for option, pattern in unknown
            )
        )
