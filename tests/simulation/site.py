"""A simulated site behind a bad network: every call draws its fate."""

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
from pragmaspec.resources import Allocation, Mark, Node, Outputs, Resource
from pragmaspec.site import IdentityKind, SimulatedSite
from pragmaspec.state_model import State
from tests.simulation.chance import Chance
from tests.simulation.clock import SimClock

HANG_S = 30.0


class FaultySite:
    """The provider of ``site``.

    ``delay_s``: how late a call may take effect and what it made be seen; each may take half of it. ``echoes``: whether the
    network may deliver a request twice.
    """

    def __init__(
        self, site: SimulatedSite, world: SharedWorld, chance: Chance, clock: SimClock, delay_s: float, *, echoes: bool
    ) -> None:
        self._site = site
        self._real = SimulatedProvider(site, clock, world)
        self._world = world
        self._chance = chance
        self._clock = clock
        self._delay_s = delay_s
        self._fates = _FATES if echoes else tuple(fate for fate in _FATES if fate is not _twice)
        self.lies: dict[str, Any] = {}
        """What it says of itself instead of the truth."""
        self.twice: set[str] = set()
        """Ops of which there was more than one machine at some moment."""
        self._unseen: dict[str, tuple[int, float]] = {}
        """Ids of what is missing from so many more listings, but not after this moment."""

    @property
    def abilities(self) -> Abilities:
        return Abilities(duplicate_removal=self, guest_simulation=self)

    @property
    def identity_kind(self) -> IdentityKind:
        return self.lies.get("identity_kind", self._real.identity_kind)

    @property
    def window_s(self) -> float:
        return self.lies.get("window_s", self._real.window_s)

    def identity(self) -> SiteIdentity:
        return self._real.identity()

    def inventory(self) -> Inventory:
        self._listing()
        return self._real.inventory()

    def observe(self, lineage: str, recorded: State | None = None) -> Observations:
        self._listing()
        seen = self._real.observe(lineage, recorded)
        if not self._unseen or self._chance.calm:
            return seen
        now = self._clock.now()
        hidden = {key for key, (left, until) in self._unseen.items() if left > 0 and now < until}
        self._unseen = {key: (left - 1, until) for key, (left, until) in self._unseen.items() if key in hidden}
        return replace(
            seen,
            nodes=tuple(node for node in seen.nodes if node.id not in hidden),
            allocations=tuple(granted for granted in seen.allocations if granted.id not in hidden),
        )

    def allocate(self, wanted: Allocation, mark: Mark) -> Outputs:
        return self._call(lambda: self._real.allocate(wanted, mark))

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

    def close(self) -> None:
        pass

    def _listing(self) -> None:
        self._chance.may_crash()
        if self._chance.fault(0.1):
            raise SiteUnreachableError("the listing did not arrive")

    def _call(self, effect: Callable[[], Any]) -> Any:
        chance = self._chance
        chance.may_crash()
        fate = chance.dice.choice(self._fates) if chance.fault() else _ok
        answer = fate(self, effect)
        chance.may_crash()
        return answer

    def _happens(self, effect: Callable[[], Any]) -> Any:
        """The effect itself; what it made may stay unseen for a few listings."""
        made = self._world._memory.made
        answer = effect()
        if self._world._memory.made > made:
            ops = Counter(machine.op for machine in self._world._memory.machines.values())
            self.twice |= {op for op, count in ops.items() if count > 1}
        if self._delay_s and self._world._memory.made > made and self._chance.fault():
            listings, until = self._chance.dice.randint(1, 3), self._clock.now() + self._delay_s / 2
            number = self._world._memory.made
            self._unseen[f"m-{number}"] = self._unseen[f"g-{number}"] = (listings, until)
        return answer

    def _later(self, effect: Callable[[], Any]) -> None:
        """The effect comes by itself, when its caller may be long gone; at once at a site that is never late."""

        def happen() -> None:
            with suppress(PragmaspecError):  # nobody hears it
                self._happens(effect)

        if self._delay_s:
            self._clock.after(self._chance.dice.uniform(0.1, self._delay_s / 2), happen)
        else:
            happen()


Fate = Callable[[FaultySite, Callable[[], Any]], Any]


def _ok(site: FaultySite, effect: Callable[[], Any]) -> Any:
    return site._happens(effect)


def _lost(site: FaultySite, effect: Callable[[], Any]) -> Any:
    """It happens, and the answer gets lost."""
    site._happens(effect)
    raise SiteUnreachableError("the answer was lost")


def _late(site: FaultySite, effect: Callable[[], Any]) -> Any:
    """An error comes back, and it happens all the same, some time later."""
    site._later(effect)
    raise SiteUnreachableError("gateway timeout")


def _refused(site: FaultySite, effect: Callable[[], Any]) -> Any:
    raise SiteError("403 forbidden")


def _throttled(site: FaultySite, effect: Callable[[], Any]) -> Any:
    raise SiteError("429 too many requests")


def _failed(site: FaultySite, effect: Callable[[], Any]) -> Any:
    """500, which says nothing about whether it happened."""
    if site._chance.dice.random() < 0.5:
        site._happens(effect)
    raise SiteUnreachableError("500 internal error")


def _hangs(site: FaultySite, effect: Callable[[], Any]) -> Any:
    site._clock.sleep(HANG_S)
    return (_late if site._chance.dice.random() < 0.5 else _failed)(site, effect)


def _twice(site: FaultySite, effect: Callable[[], Any]) -> Any:
    """It happens, and once more when the network delivers the request again."""
    answer = site._happens(effect)
    site._later(effect)
    return answer


_FATES: tuple[Fate, ...] = (_lost, _late, _late, _refused, _throttled, _failed, _hangs, _twice)
