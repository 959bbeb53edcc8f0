"""A harness for applies at one simulated site, with a simulated clock and injected failures."""

from pathlib import Path

from msgspec.structs import replace

from pragmaspec.access.ssh import SshClient
from pragmaspec.engine.apply import apply_plan
from pragmaspec.engine.context import ApplyContext
from pragmaspec.errors import SiteUnreachableError
from pragmaspec.images.reporter import ImageFiles
from pragmaspec.planning.plan import PlannedSite
from pragmaspec.providers.simulated.provider import SimulatedProvider
from pragmaspec.providers.simulated.shared_world import SharedWorld
from pragmaspec.site import SimulatedSite
from pragmaspec.state_model import Record
from tests.engine.fake_provider import KEY, WANTED, plan_for
from tests.simulation.clock import SimulatedClock
from tests.simulation.executor import executor_factory
from tests.simulation.faults import FaultInjector
from tests.state.local_store import LocalStore

LATE_SITE = SimulatedSite(name="lab", file=":memory:", identity="tag", window_s=300.0, parallel=8)


class CountingProvider(SimulatedProvider):
    """A provider that counts listings and fails selected calls."""

    def __init__(self, site, world, clock):
        super().__init__(site, clock, world)
        self.listings = 0
        self.lost = set()
        self.refuses = {}
        self.blind = False
        """True to fail every listing of a run except the first."""

    def observe(self, lineage, recorded=None):
        self.listings += 1
        if self.blind and self.listings > 1:
            raise SiteUnreachableError("no listing")
        return super().observe(lineage, recorded)

    def boot(self, order):
        outputs = super().boot(order)
        if order.node.name in self.lost:
            self.lost.remove(order.node.name)
            raise SiteUnreachableError("the response was lost")
        return outputs

    def allocate(self, wanted, mark):
        if mark.address in self.refuses:
            raise self.refuses[mark.address]
        return super().allocate(wanted, mark)


class Harness:
    """One stack at one simulated site with a simulated clock."""

    def __init__(self, folder: Path, site: SimulatedSite = LATE_SITE) -> None:
        self.folder, self.site = folder, site
        self.clock = SimulatedClock()
        self.world = SharedWorld(None)
        self.store = LocalStore(folder / "state")
        self.calm = FaultInjector(0)
        self.calm.calm = True
        self.provider = CountingProvider(site, self.world, self.clock)

    def apply(self, *actions, **changes):
        with self.store.session("test") as session:
            context = ApplyContext(
                session=session,
                providers={"lab": self.provider},
                wanted=WANTED,
                files=lambda image: ImageFiles(disk=Path("/nowhere")),
                stack_key=KEY,
                remote=SshClient(session.state.lineage, KEY, self.folder / "ssh"),
                clock=self.clock,
                executor=executor_factory(self.calm, self.clock),
            )
            planned = plan_for(session.state, *actions, sites=(PlannedSite(site=self.site, identity=self.provider.identity()),))
            return apply_plan(replace(planned, **changes), context)

    def record(self, wanted) -> Record:
        return self.store.read().record(wanted.address)

    def machines(self):
        return self.provider.observe(self.store.read().lineage).nodes


def remaining_actions(lab, actions):
    ready = {record.address for record in lab.store.read().records if record.status == "ready"}
    return [action for action in actions if action.address not in ready]
