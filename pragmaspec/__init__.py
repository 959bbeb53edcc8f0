"""Declarative virtual clusters: a frontend and N computes at any site, planned, reviewed and applied.

As a library::

    from pragmaspec import Stack

    stack = Stack("cluster.yaml")
    plan = stack.plan()
    print(plan)
    stack.apply(plan, allow=("rebuild",))
    for node in stack.nodes():
        print(node.name, node.nic("private").address)
    print(stack.ssh("hello-frontend", "hostname").stdout.decode())
    stack.clean("hello", shutdown=True)
    stack.close()

Everything that can go wrong for a reason a person understands is a :class:`PragmaspecError`. Names are imported when they are
first used, so that ``import pragmaspec`` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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
        SiteUnreachableError,
        SpecError,
        StateLockedError,
        StateLockLostError,
        StateUnreachableError,
        StateUnreadableError,
        StateUnwritableError,
        UsageError,
    )
    from pragmaspec.stack.stack import Stack

__version__ = "0.1.0"

__all__ = [
    "AccessError",
    "ApplyIncompleteError",
    "HostKeyError",
    "ImageError",
    "InterruptedRunError",
    "NotReadyError",
    "PlanError",
    "PlanRefusedError",
    "PragmaspecError",
    "Problem",
    "SiteCapacityError",
    "SiteConflictError",
    "SiteError",
    "SiteUnreachableError",
    "SpecError",
    "Stack",
    "StateLockLostError",
    "StateLockedError",
    "StateUnreachableError",
    "StateUnreadableError",
    "StateUnwritableError",
    "UsageError",
    "__version__",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - as the language defines it
    if name == "Stack":
        return import_module("pragmaspec.stack.stack").Stack
    if name in __all__:
        return getattr(import_module("pragmaspec.errors"), name)
    raise AttributeError(f"module 'pragmaspec' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
