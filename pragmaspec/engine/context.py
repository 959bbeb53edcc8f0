"""Input and result of an apply."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from pragmaspec.access.ssh import SshClient
from pragmaspec.clock import Clock, SystemClock
from pragmaspec.engine.executor import Executor
from pragmaspec.engine.target_state import TargetState
from pragmaspec.frozen import Frozen
from pragmaspec.guest.keys import StackKey
from pragmaspec.images.reporter import ImageFiles
from pragmaspec.planning.plan import Plan
from pragmaspec.planning.wanted import PublicCopy, Wanted, WantedImage
from pragmaspec.providers.base import Provider
from pragmaspec.state.session import StoreSession


@dataclass(frozen=True)
class ApplyContext:
    """The components that an apply works with.

    ``providers`` are keyed by site name. ``files`` returns the verified bytes of an image, ``public_copy`` its public download
    if there is one. ``shutdown_grace_s``: time for a guest to power off before it is forced off. ``interrupt_limit_s``: time for
    calls in flight to end after a signal; ``terminate_limit_s``: the same after SIGTERM, whose sender often sends SIGKILL ten
    seconds later.
    """

    session: StoreSession
    providers: Mapping[str, Provider]
    wanted: Wanted
    files: Callable[[WantedImage], ImageFiles]
    public_copy: Callable[[WantedImage], PublicCopy | None] | None = field(default=None, kw_only=True)
    stack_key: StackKey
    remote: SshClient
    shutdown_grace_s: float = 60.0
    interrupt_limit_s: float = 30.0
    terminate_limit_s: float = 8.0
    clock: Clock = field(default_factory=SystemClock)
    executor: "Callable[[Plan, ApplyContext, TargetState], Executor] | None" = None
    """Creates the executor of the apply; None: worker threads."""


class ApplyResult(Frozen, frozen=True):
    """A plan that was applied completely: the keys of its actions in the order in which they ended, and the duration.

    ``removed_leftovers``: addresses of removed objects that earlier calls created twice or too late.
    """

    done: tuple[str, ...] = ()
    seconds: float = 0.0
    removed_leftovers: tuple[str, ...] = ()
