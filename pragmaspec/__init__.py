"""Declarative virtual clusters: a frontend and N computes at any site, planned, reviewed and applied.

As a library::

    from pragmaspec import Stack

    stack = Stack("cluster.yaml")
    plan = stack.plan()
    print(plan)
    stack.apply(plan, allow=("rebuild",))
    for node in stack.nodes():
        print(node.name, *(nic.address for nic in node.nics))
    print(stack.ssh("hello-frontend", "hostname").stdout.decode())
    stack.clean("hello", shutdown=True)
    stack.close()

Every failure that a user can act on is a :class:`PragmaspecError`. Names are imported at their first use, so that
``import pragmaspec`` is quick.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from pragmaspec._version import __version__

if TYPE_CHECKING:
    from pragmaspec.access.ssh import CommandResult
    from pragmaspec.engine.context import ApplyResult
    from pragmaspec.errors import (
        AccessError,
        ApplyIncompleteError,
        HostKeyError,
        ImageError,
        InterruptedRunError,
        NotReadyError,
        PlanError,
        PlanRefusedError,
        PragmaspecError,
        Problem,
        SiteCapacityError,
        SiteConflictError,
        SiteError,
        SiteInUseError,
        SiteUnreachableError,
        SpecError,
        StateLockedError,
        StateLockLostError,
        StateUnreachableError,
        StateUnreadableError,
        StateUnwritableError,
        UsageError,
        Where,
    )
    from pragmaspec.planning.plan import Plan
    from pragmaspec.resources import Node
    from pragmaspec.stack.stack import Stack
    from pragmaspec.state_model import State

__all__ = [
    "AccessError",
    "ApplyIncompleteError",
    "ApplyResult",
    "CommandResult",
    "HostKeyError",
    "ImageError",
    "InterruptedRunError",
    "Node",
    "NotReadyError",
    "Plan",
    "PlanError",
    "PlanRefusedError",
    "PragmaspecError",
    "Problem",
    "SiteCapacityError",
    "SiteConflictError",
    "SiteError",
    "SiteInUseError",
    "SiteUnreachableError",
    "SpecError",
    "Stack",
    "State",
    "StateLockLostError",
    "StateLockedError",
    "StateUnreachableError",
    "StateUnreadableError",
    "StateUnwritableError",
    "UsageError",
    "Where",
    "__version__",
]


_ELSEWHERE = {
    "ApplyResult": "pragmaspec.engine.context",
    "CommandResult": "pragmaspec.access.ssh",
    "Node": "pragmaspec.resources",
    "Plan": "pragmaspec.planning.plan",
    "Stack": "pragmaspec.stack.stack",
    "State": "pragmaspec.state_model",
}
"""The modules of the names that are not errors."""

if not TYPE_CHECKING:  # otherwise a type checker would accept any name

    def __getattr__(name: str) -> Any:  # noqa: ANN401 - as the language defines it
        if name in __all__:
            return getattr(import_module(_ELSEWHERE.get(name, "pragmaspec.errors")), name)
        raise AttributeError(f"module 'pragmaspec' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
