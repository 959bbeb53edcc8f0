"""One seed's story: people edit their specs and apply them while everything goes wrong; then it stops, and the laws must hold."""

from collections import Counter
from pathlib import Path
from tempfile import gettempdir

from pragmaspec.access.ssh import SshClient
from pragmaspec.engine.apply import apply_plan
from pragmaspec.engine.context import ApplyContext
from pragmaspec.engine.reporter import Reporter
from pragmaspec.errors import PragmaspecError
from pragmaspec.guest.keys import StackKey
from pragmaspec.images.reporter import ImageFiles
from pragmaspec.planning.fingerprint import with_fingerprints
from pragmaspec.planning.plan import Action, Plan
from pragmaspec.planning.planner import make_plan, sites_needing_inventory
from pragmaspec.planning.request import PlanRequest
from pragmaspec.planning.wanted import Wanted
from pragmaspec.providers.simulated.objects import Grant, GrantedNetwork, SimulatedMachine
from pragmaspec.providers.simulated.shared_world import SharedWorld
from pragmaspec.resources import Allocation, Node, StagedImage
from pragmaspec.site import PublicNetwork, SimulatedSite
from pragmaspec.state_model import State
from tests.simulation.chance import Chance, Crash
from tests.simulation.clock import SimClock
from tests.simulation.crew import crew_of
from tests.simulation.ground import MemoryStore
from tests.simulation.site import FaultySite
from tests.simulation.spec import Author

KEY = StackKey(b"k" * 32)
WINDOW_S = 60.0
SHORT_SEEDS, SHORT, LONG = 10_000, 4, 7
"""Stories of the first seeds, which every test run tells, have so many runs at most; all others may be longer."""
LINEAGES = ("11111111-0000-4000-8000-000000000001", "22222222-0000-4000-8000-000000000002")
FOREIGN = "99999999-0000-4000-8000-000000000009"
ASKED = PlanRequest(accept_missing=True)


class BrokenLawError(AssertionError):
    """A law does not hold."""


class Nervous(Reporter):
    """An output that may be closed at any moment, as when a person stops the run."""

    def __init__(self, chance: Chance) -> None:
        self._chance = chance

    def started(self, action: Action) -> None:
        if self._chance.fault(0.1):
            raise BrokenPipeError


class Stack:
    """One person's spec and state."""

    def __init__(self, lineage: str, story: "Story") -> None:
        self.lineage = lineage
        self._story = story
        self.store = MemoryStore(lineage, story.chance)
        # A state from before a renaming, beside things that were made under the new name since, needs a person.
        self.author = Author(story.chance.dice, story.sites, moves=not story.forgetful)
        self._remote = SshClient(lineage, KEY, Path(gettempdir()) / "pragmaspec-simulation-unused")

    def plan(self, state: State, wanted: Wanted) -> Plan:
        providers = self._story.providers
        observed = {name: provider.observe(self.lineage) for name, provider in providers.items()}
        asked = {name: providers[name].inventory() for name in sites_needing_inventory(wanted, state, ASKED)}
        return with_fingerprints(make_plan(wanted, state, observed, asked, ASKED), state, observed)

    def apply(self) -> None:
        """Plan and apply, as one command does. Raises PragmaspecError and Crash."""
        story, wanted = self._story, self.author.wanted()
        with self.store.session() as session:
            plan = self.plan(session.state, wanted)
            story.meanwhile(self)
            context = ApplyContext(
                session=session,
                providers=story.providers,
                wanted=wanted,
                files=lambda image: ImageFiles(disk=Path("/nowhere")),
                stack_key=KEY,
                remote=self._remote,
                clock=story.clock,
                executor=story.crew,
            )
            apply_plan(plan, context, Nervous(story.chance))


class Story:
    """A site, or two; one stack, or two that want the same things; and a stranger."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.chance = Chance(seed)
        dice = self.chance.dice
        self.clock = SimClock()
        late = dice.random() < 0.75
        kind = dice.choice(("ident", "token", "tag"))
        # Mostly the window is what it should be; sometimes what is late is later than that, and must be swept.
        self.delay_s = (0.9 if dice.random() < 0.8 else 3.0) * WINDOW_S if late or kind != "ident" else 0.0
        self.echoes = dice.random() < 0.7
        self.forgetful = dice.random() < 0.15
        self._nested = False
        names = ("lab",) if dice.random() < 0.8 else ("hall", "lab")
        self.sites = tuple(
            SimulatedSite(
                name=name,
                file=":memory:",
                identity=kind,
                window_s=WINDOW_S if self.delay_s else 0.0,
                vlans=((20, 60),),
                public=PublicNetwork(network="public", addresses=("192.0.2.10-192.0.2.60",)),
            )
            for name in names
        )
        self.worlds = {name: SharedWorld(None) for name in names}
        self.providers = {
            site.name: FaultySite(site, self.worlds[site.name], self.chance, self.clock, self.delay_s, echoes=self.echoes)
            for site in self.sites
        }
        self.crew = crew_of(self.chance, self.clock)
        self.stacks = [Stack(lineage, self) for lineage in LINEAGES[: 1 if dice.random() < 0.7 else 2]]
        for world in self.worlds.values():
            with world.changing() as there:
                for thing in _STRANGER:
                    there.put(thing)

    def run(self) -> None:
        """Tell the story. Raises BrokenLawError."""
        dice = self.chance.dice
        for _ in range(dice.randint(2, SHORT if self.seed < SHORT_SEEDS else LONG)):
            stack = dice.choice(self.stacks)
            if dice.random() < 0.6:
                stack.author.edit()
            if self.forgetful and stack.store.versions and dice.random() < 0.3:
                stack.store.put_back(dice.choice(stack.store.versions))
            self.try_to_apply(stack)
            self.check_nothing_lost()
            self.time_passes()
        self.end()

    def try_to_apply(self, stack: Stack) -> None:
        try:
            stack.apply()
        except Crash:
            self.chance.crashed = False
        except PragmaspecError:
            pass  # the next run continues

    def time_passes(self) -> None:
        self.clock.sleep(self.chance.dice.choice((0.0, 0.0, 0.0, 1.0, 10.0, 40.0)))

    def meanwhile(self, stack: Stack) -> None:
        """What comes between a plan and its apply: time, and perhaps somebody else's whole run."""
        if self.chance.calm:
            return
        self.time_passes()
        others = [other for other in self.stacks if other is not stack]
        if others and not self._nested and self.chance.dice.random() < 0.3:
            self._nested = True
            self.try_to_apply(others[0])
            self._nested = False

    def end(self) -> None:
        """No fault any more, and everything late has come: every stack needs one apply, and then nothing."""
        self.chance.calm = True
        self.clock.sleep(10 * WINDOW_S)
        # Whoever finds out by applying that somebody else holds what it thought its own needs another plan: another stack, or
        # what this one made before its state was put back.
        rounds = len(self.stacks) + self.forgetful
        while failures := self._apply_all():
            rounds -= 1
            if not rounds:
                raise BrokenLawError(f"apply without faults: {failures[0]}") from failures[0]
        for stack in self.stacks:
            plan = stack.plan(stack.store.state(), stack.author.wanted())
            if not plan.empty or (plan.drift and not self.forgetful):
                acts = [(action.key, action.reason) for action in plan.actions]
                raise BrokenLawError(f"not converged: {acts} {[(drift.address, drift.detail) for drift in plan.drift]}")
            self.check_equal(stack, {drift.address for drift in plan.drift})
        self.check_owners()

    def _apply_all(self) -> list[PragmaspecError]:
        failures = []
        for stack in self.stacks:
            try:
                stack.apply()
            except PragmaspecError as error:
                failures.append(error)
        return failures

    def check_nothing_lost(self) -> None:
        """Everything at the sites is recorded, or known to be over; and where nothing need be made twice, nothing is."""
        for stack in () if self.forgetful else self.stacks:
            state = stack.store.state()
            known = {record.original_address for record in state.records}
            closed = {each.op for each in state.closed_ops}
            for thing in self._things(stack.lineage):
                if thing.address not in known and thing.op not in closed:
                    raise BrokenLawError(f"{thing.address} (op {thing.op}) is at the site and nobody knows of it")
        twice = set().union(*(provider.twice for provider in self.providers.values()))
        if twice and not self.echoes and self.delay_s < WINDOW_S:
            raise BrokenLawError(f"made twice, without need: {twice}")

    def check_equal(self, stack: Stack, told: set[str]) -> None:
        """Recorded = present, object by object, and everything is ready. What is at the site beside that, ``told`` names."""
        state = stack.store.state()
        for record in state.records:
            if record.status != "ready":
                raise BrokenLawError(f"{record.address} is {record.status}: {record.problem}")
        recorded = Counter(record.original_address for record in state.records if not isinstance(record.resource, StagedImage))
        present = Counter(thing.address for thing in self._things(stack.lineage))
        beside = {
            thing.address for thing in self._things(stack.lineage) if not {thing.address, f"{thing.address}#{thing.id}"} & told
        }
        if (present - recorded and not told) or recorded - present or not beside <= recorded.keys():
            raise BrokenLawError(f"recorded {recorded} is not present {present}; said: {told}")
        by_address = {thing.address: thing for thing in self._things(stack.lineage) if f"{thing.address}#{thing.id}" not in told}
        for record in state.records:
            thing, resource = by_address.get(record.original_address), record.resource
            if isinstance(resource, Node) and isinstance(thing, SimulatedMachine):
                # Where we choose identities, a boot that comes late leaves its op on what is the right machine all the same.
                op = thing.op if self.forgetful or self.sites[0].identity == "ident" else record.op
                said = (resource.running, resource.cpus if resource.running else thing.cpus, record.generation, op)
                if said != (thing.status == "running", thing.cpus, thing.generation, thing.op):
                    raise BrokenLawError(f"{record} is not {thing}")
            if isinstance(resource, Allocation) and isinstance(thing, Grant):
                vlans = {network.vlan for network in resource.networks}
                if vlans != {network.vlan for network in thing.networks} or thing.public != tuple(
                    p.address for p in resource.public
                ):
                    raise BrokenLawError(f"{record} is not {thing}")
        images = {
            (record.resource.site, record.resource.digest) for record in state.records if isinstance(record.resource, StagedImage)
        }
        there = {
            (name, image.digest)
            for name, world in self.worlds.items()
            for image in world._memory.images.values()
            if stack.lineage in image.users
        }
        if images - there or (there - images and not self.forgetful):
            raise BrokenLawError(f"images recorded {images} are not those present {there}")

    def check_owners(self) -> None:
        """One owner per VLAN and address, and the stranger's things are as they were."""
        for world in self.worlds.values():
            grants = list(world._memory.grants.values())
            claims = Counter(network.vlan for grant in grants for network in grant.networks if network.vlan is not None)
            claims.update(address for grant in grants for address in grant.public)
            twice = [claim for claim, count in claims.items() if count > 1]
            if twice:
                raise BrokenLawError(f"more than one owner of {twice}")
            things = {*world._memory.machines.values(), *grants}
            if not things.issuperset(_STRANGER):
                raise BrokenLawError("somebody else's things were touched")

    def _things(self, lineage: str) -> list[SimulatedMachine | Grant]:
        return [
            thing
            for world in self.worlds.values()
            for thing in (*world._memory.machines.values(), *world._memory.grants.values())
            if thing.lineage == lineage
        ]


_STRANGER: tuple[SimulatedMachine | Grant, ...] = (
    SimulatedMachine(address="lab/alpha/node/alpha-frontend", lineage=FOREIGN, op="f" * 32, made=-1, alone=False),
    Grant(
        address="lab/alpha/allocation",
        lineage=FOREIGN,
        op="e" * 32,
        networks=(GrantedNetwork(name="private", cidr="10.20.0.0/16", vlan=20),),
        public=("192.0.2.10",),
    ),
)
