"""The executor protocol: runs actions concurrently and reports back to the apply loop."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from pragmaspec.engine.events import Job, Message, ObserveResult
from pragmaspec.resources import Node


class Executor(Protocol):
    """Executes the actions of one apply. All methods but :meth:`wake` are called from the apply thread."""

    def observe(self, sites: Iterable[str]) -> Mapping[str, ObserveResult]:
        """List the objects of this stack at each of ``sites``, in parallel."""
        ...

    def begin(self, jobs: Sequence[Job]) -> None:
        """Start ``jobs``, which do not depend on each other. Each one ends with an :class:`ActionResult`."""
        ...

    def receive(self, timeout_s: float) -> Message | None:
        """Return the next message; None after :meth:`wake`. Raises ``queue.Empty`` after ``timeout_s``."""
        ...

    def wake(self) -> None:
        """Make :meth:`receive` return. Safe in a signal handler."""
        ...

    def abandon_computes_of(self, frontend: Node, reason: str) -> None:
        """Fail the readiness checks of the computes that are only reachable through ``frontend``."""
        ...

    def stop(self) -> list[str]:
        """Start nothing more and cancel all waits. Returns the keys of the actions that were never started."""
        ...

    def close(self) -> None:
        """Stop waiting and let the workers exit."""
        ...
