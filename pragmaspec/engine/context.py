"""What an apply is given, and what it gives back."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pragmaspec.access.ssh import SshClient
from pragmaspec.clock import Clock, SystemClock
from pragmaspec.frozen import Frozen
from pragmaspec.guest.keys import StackKey
from pragmaspec.images.reporter import ImageFiles
from pragmaspec.planning.wanted import PublicCopy, Wanted, WantedImage
from pragmaspec.providers.base import Provider
from pragmaspec.state.session import StoreSession

if TYPE_CHECKING:
    from pragmaspec.engine.target_state import TargetState
    from pragmaspec.engine.workers import Executor
    from pragmaspec.planning.plan import Plan


@dataclass(frozen=True)
class ApplyContext:
    """The concrete parts an apply works with; only the command line puts them together.

    ``providers`` are by the name of their site. ``files`` returns an image's bytes, verified; ``copies``
    tells where else they can be had. ``shutdown_grace_s``: how long a
    guest may take to power off before its power is taken. ``interrupt_limit_s``: how long calls that are under way when a signal
    comes are waited for; ``terminate_limit_s``: the same after a SIGTERM, whose sender often kills ten seconds later.
    """

    session: StoreSession
    providers: Mapping[str, Provider]
    wanted: Wanted
    files: Callable[[WantedImage], ImageFiles]
    copies: Callable[[WantedImage], PublicCopy | None] | None = field(default=None, kw_only=True)
    stack_key: StackKey
    remote: SshClient
    shutdown_grace_s: float = 60.0
    interrupt_limit_s: float = 30.0
    terminate_limit_s: float = 8.0
    clock: Clock = field(default_factory=SystemClock)
    crew: "Callable[[Plan, ApplyContext, TargetState], Executor] | None" = None
    """Who does the actions; None: threads."""


class ApplyResult(Frozen, frozen=True):
    """A plan that was done completely: the keys of its actions in the order they ended, and how long it took.

    ``swept`` are the addresses of leftovers that were removed: what calls made that took effect late, or twice.
    """

    done: tuple[str, ...] = ()
    seconds: float = 0.0
    removed_leftovers: tuple[str, ...] = ()
