"""A simulated site behind an unreliable network."""

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from msgspec.structs import replace

from pragmaspec.errors import PragmaspecError, SiteError, SiteUnreachableError
from pragmaspec.planning.observed import Inventory, Observations, SiteIdentity
from pragmaspec.providers.base import Abilities, BootRequest, Diagnostics, StageRequest
from pragmaspec.providers.simulated.provider import SimulatedProvider
from pragmaspec.providers.simulated.shared_world import SharedWorld
from pragmaspec.resources import Allocation, Mark, Node, Outputs, Resource, Volume
from pragmaspec.site import IdentityKind, SimulatedSite
from pragmaspec.state_model import State
from tests.simulation.clock import SimulatedClock
from tests.simulation.faults import FaultInjector

HANG_S = 30.0


class FaultySite:
    """The provider of ``site``, whose calls may fail in any way.

    ``delay_s`` is the maximum time until a call has taken effect (half of it) and is visible (the other half). ``duplicates``:
    the network may deliver a request twice.
    """

    def __init__(
        self,
        site: SimulatedSite,
        world: SharedWorld,
        faults: FaultInjector,
        clock: SimulatedClock,
        delay_s: float,
        *,
        duplicates: bool,
    ) -> None:
        self._site = site
        self._real = SimulatedProvider(site, clock, world)
        self._world = world
        self._faults = faults
        self._clock = clock
        self._delay_s = delay_s
        self._outcomes = _OUTCOMES if duplicates else tuple(outcome for outcome in _OUTCOMES if outcome is not _twice)
        self.overrides: dict[str, Any] = {}
        """Wrong values for properties of the provider."""
        self.twice: set[str] = set()
        """Ops that more than one machine had at some moment."""
        self._hidden: dict[str, tuple[int, float]] = {}
        """Ids that the next N listings omit, until the given time."""

    @property
    def abilities(self) -> Abilities:
        return Abilities(duplicate_removal=self, guest_simulation=self, volume_storage=self)

    @property
    def identity_kind(self) -> IdentityKind:
        return self.overrides.get("identity_kind", self._real.identity_kind)

    @property
    def window_s(self) -> float:
        return self.overrides.get("window_s", self._real.window_s)

    def identity(self) -> SiteIdentity:
        return self._real.identity()

    def inventory(self) -> Inventory:
        self._listing()
        return self._real.inventory()

    def observe(self, lineage: str, recorded: State | None = None) -> Observations:
        self._listing()
        seen = self._real.observe(lineage, recorded)
        if not self._hidden or self._faults.calm:
            return seen
        now = self._clock.now()
        hidden = {key for key, (left, until) in self._hidden.items() if left > 0 and now < until}
        self._hidden = {key: (left - 1, until) for key, (left, until) in self._hidden.items() if key in hidden}
        return replace(
            seen,
            nodes=tuple(node for node in seen.nodes if node.id not in hidden),
            allocations=tuple(granted for granted in seen.allocations if granted.id not in hidden),
            volumes=tuple(volume for volume in seen.volumes if volume.id not in hidden),
        )

    def allocate(self, wanted: Allocation, mark: Mark) -> Outputs:
        return self._call(lambda: self._real.allocate(wanted, mark))

    def allocate_volume(self, volume: Volume, mark: Mark) -> Outputs:
        return self._call(lambda: self._real.allocate_volume(volume, mark))

    def grow_disks(self, node: Node, mark: Mark) -> None:
        self._call(lambda: self._real.grow_disks(node, mark))

    def stage(self, request: StageRequest) -> Outputs:
        return self._call(lambda: self._real.stage(request))

    def boot(self, order: BootRequest) -> Outputs:
        return self._call(lambda: self._real.boot(order))

    def shutdown(self, node: Node, mark: Mark, grace_s: float) -> None:
        self._call(lambda: self._real.shutdown(node, mark, grace_s))

    def clean(self, resource: Resource, mark: Mark) -> None:
        self._call(lambda: self._real.clean(resource, mark))

    def remove_duplicate(self, site_id: str, mark: Mark) -> None:
        self._call(lambda: self._real.remove_duplicate(site_id, mark))

    def diagnostics(self, node: Node, mark: Mark) -> Diagnostics:
        return Diagnostics()

    def console_log(self, node: Node, mark: Mark) -> bytes:
        return b""

    def console(self, node: Node, mark: Mark) -> None:
        raise NotImplementedError

    def guest_stage(self, node: Node, mark: Mark) -> str:
        return self._real.guest_stage(node, mark)

    def guest_updated(self, node: Node, mark: Mark) -> None:
        self._real.guest_updated(node, mark)

    def close(self) -> None:
        pass

    def _listing(self) -> None:
        self._faults.maybe_crash()
        if self._faults.fault(0.1):
            raise SiteUnreachableError("the listing did not arrive")

    def _call(self, effect: Callable[[], Any]) -> Any:
        faults = self._faults
        faults.maybe_crash()
        outcome = faults.random.choice(self._outcomes) if faults.fault() else _ok
        answer = outcome(self, effect)
        faults.maybe_crash()
        return answer

    def _effect(self, effect: Callable[[], Any]) -> Any:
        """Carry out ``effect``; the next listings may omit what it created."""
        made = self._world._memory.made
        answer = effect()
        if self._world._memory.made > made:
            ops = Counter(machine.op for machine in self._world._memory.machines.values())
            self.twice |= {op for op, count in ops.items() if count > 1}
        if self._delay_s and self._world._memory.made > made and self._faults.fault():
            listings, until = self._faults.random.randint(1, 3), self._clock.now() + self._delay_s / 2
            number = self._world._memory.made
            self._hidden.update({f"{kind}-{number}": (listings, until) for kind in "mgv"})
        return answer

    def _effect_later(self, effect: Callable[[], Any]) -> None:
        """Carry out ``effect`` later, when its caller may have ended; at once at a site without delays."""

        def run() -> None:
            with suppress(PragmaspecError):  # there is no caller left
                self._effect(effect)

        if self._delay_s:
            self._clock.after(self._faults.random.uniform(0.1, self._delay_s / 2), run)
        else:
            run()


Outcome = Callable[[FaultySite, Callable[[], Any]], Any]


def _ok(site: FaultySite, effect: Callable[[], Any]) -> Any:
    return site._effect(effect)


def _lost(site: FaultySite, effect: Callable[[], Any]) -> Any:
    """The call succeeds, but its response is lost."""
    site._effect(effect)
    raise SiteUnreachableError("the response was lost")


def _late(site: FaultySite, effect: Callable[[], Any]) -> Any:
    """The call returns an error, but takes effect later."""
    site._effect_later(effect)
    raise SiteUnreachableError("gateway timeout")


def _refused(site: FaultySite, effect: Callable[[], Any]) -> Any:
    raise SiteError("403 forbidden")


def _throttled(site: FaultySite, effect: Callable[[], Any]) -> Any:
    raise SiteError("429 too many requests")


def _failed(site: FaultySite, effect: Callable[[], Any]) -> Any:
    """Status 500: the call may have taken effect."""
    if site._faults.random.random() < 0.5:
        site._effect(effect)
    raise SiteUnreachableError("500 internal error")


def _hangs(site: FaultySite, effect: Callable[[], Any]) -> Any:
    site._clock.sleep(HANG_S)
    return (_late if site._faults.random.random() < 0.5 else _failed)(site, effect)


def _twice(site: FaultySite, effect: Callable[[], Any]) -> Any:
    """The network delivers the request a second time, later."""
    answer = site._effect(effect)
    site._effect_later(effect)
    return answer


_OUTCOMES: tuple[Outcome, ...] = (_lost, _late, _late, _refused, _throttled, _failed, _hangs, _twice)
