"""One random scenario: specs are edited and applied under faults; then the faults end, and the invariants must hold."""

from collections import Counter
from pathlib import Path
from tempfile import gettempdir

from msgspec.structs import replace

from pragmaspec.access.ssh import SshClient
from pragmaspec.engine.apply import apply_plan
from pragmaspec.engine.context import ApplyContext
from pragmaspec.engine.reporter import Reporter
from pragmaspec.errors import PragmaspecError
from pragmaspec.guest.keys import StackKey
from pragmaspec.images.reporter import ImageFiles
from pragmaspec.networking import HYPERVISOR_NETWORKING, LateValue, Networking
from pragmaspec.planning.allocation.device_requests import device_addresses
from pragmaspec.planning.fingerprint import with_fingerprints
from pragmaspec.planning.plan import Action, Plan
from pragmaspec.planning.planner import make_plan, sites_booting_nodes, sites_needing_inventory
from pragmaspec.planning.request import PlanRequest
from pragmaspec.planning.wanted import Wanted
from pragmaspec.providers.simulated.objects import (
    Grant,
    GrantedNetwork,
    SimulatedMachine,
    SimulatedVolume,
    grant_amounts,
    machine_amounts,
    volume_amounts,
)
from pragmaspec.providers.simulated.shared_world import SharedWorld
from pragmaspec.resources import Allocation, Node, StagedImage, Volume
from pragmaspec.site import Flavor, PublicNetwork, SimulatedHost, SimulatedSite
from pragmaspec.state_model import State
from tests.simulation.clock import SimulatedClock
from tests.simulation.executor import executor_factory
from tests.simulation.faults import Crash, FaultInjector
from tests.simulation.memory_store import MemoryStore
from tests.simulation.site import FaultySite
from tests.simulation.spec_editor import SpecEditor

KEY = StackKey(b"k" * 32)
WINDOW_S = 60.0
SHORT_SEEDS, SHORT, LONG = 10_000, 4, 7
"""The scenarios of the first seeds, which are part of every test run, have at most ``SHORT`` runs, all others ``LONG``."""
LINEAGES = ("11111111-0000-4000-8000-000000000001", "22222222-0000-4000-8000-000000000002")
FOREIGN = "99999999-0000-4000-8000-000000000009"
REQUEST = PlanRequest(accept_missing=True)
FLAVORS = (
    Flavor(name="m1.small", cpus=1, memory_mib=512),
    Flavor(name="m1.medium", cpus=2, memory_mib=2048, disk_bytes=2**23),
    Flavor(name="m1.large", cpus=4, memory_mib=4096, disk_bytes=2**22),
)
QUOTAS = (("instances", 1000), ("cores", 4000), ("networks", 100), ("addresses", 100))
"""Never short: the simulation checks that their use is counted rightly."""

USER_DATA_LIMIT, ROUTED_USER_DATA_LIMIT = 2400, 1300
"""Too small for all that a frontend needs, large enough for its essential part; with a router, that has no rules of a gateway."""

LATE: tuple[tuple[LateValue, ...], ...] = ((), (), ("macs", "private", "public"), (), ("public",), ("macs",), ("macs", "private"))
"""The values that the site chooses, by seed."""


NETWORKING = (
    HYPERVISOR_NETWORKING,
    HYPERVISOR_NETWORKING,
    Networking(vlans=False, router=True, translated=True, frontend_offset=4),
    HYPERVISOR_NETWORKING,
    Networking(vlans=False, translated=True, dhcp=True, frontend_offset=4),
)
"""How the sites connect nodes, by seed."""

DEVICES = (("gpu", 60), ("nic", 60))
"""Never short, although those that a plan releases are free for the next one only."""


class InvariantError(AssertionError):
    """An invariant is violated."""


class BreakingReporter(Reporter):
    """A reporter whose output may be closed at any time, as when the user stops the run."""

    def __init__(self, faults: FaultInjector) -> None:
        self._faults = faults

    def started(self, action: Action) -> None:
        if self._faults.fault(0.1):
            raise BrokenPipeError


class Stack:
    """The spec and the state of one user."""

    def __init__(self, lineage: str, scenario: "Scenario") -> None:
        self.lineage = lineage
        self._scenario = scenario
        self.store = MemoryStore(lineage, scenario.faults)
        # A state from before a rename, with objects created under the new name since, must be repaired by hand.
        # Volumes of a stack that no longer wants them stay, so each stack has names of its own.
        volume, moves = f"data{lineage[0]}", not scenario.restores_old_states
        self.editor = SpecEditor(
            scenario.faults.random, scenario.sites, moves=moves, volume=volume, host_parts=scenario.host_parts
        )
        self._remote = SshClient(lineage, KEY, Path(gettempdir()) / "pragmaspec-simulation-unused")

    def plan(self, state: State, wanted: Wanted) -> Plan:
        providers = self._scenario.providers
        observed = {name: provider.observe(self.lineage, state) for name, provider in providers.items()}
        inventories = {name: providers[name].inventory() for name in sites_needing_inventory(wanted, state, REQUEST)}
        plan = make_plan(wanted, state, observed, inventories, REQUEST)
        if unread := sites_booting_nodes(plan) - inventories.keys():
            inventories |= {name: providers[name].inventory() for name in unread}
            plan = make_plan(wanted, state, observed, inventories, REQUEST)
        return with_fingerprints(plan, state, observed)

    def apply(self) -> None:
        """Plan and apply, as the command does. Raises PragmaspecError and Crash."""
        scenario, wanted = self._scenario, self.editor.wanted()
        with self.store.session() as session:
            plan = self.plan(session.state, wanted)
            scenario.between_plan_and_apply(self)
            context = ApplyContext(
                session=session,
                providers=scenario.providers,
                wanted=wanted,
                files=lambda image: ImageFiles(disk=Path("/nowhere")),
                stack_key=KEY,
                remote=self._remote,
                clock=scenario.clock,
                executor=scenario.executor,
            )
            apply_plan(plan, context, BreakingReporter(scenario.faults))


class Scenario:
    """One or two sites; one stack, or two that compete for the same resources; and objects of a foreign stack."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.faults = FaultInjector(seed)
        random = self.faults.random
        self.clock = SimulatedClock()
        late = random.random() < 0.75
        kind = random.choice(("ident", "token", "tag"))
        # Usually delays are shorter than the window; sometimes longer, and then leftovers must be removed.
        self.delay_s = (0.9 if random.random() < 0.8 else 3.0) * WINDOW_S if late or kind != "ident" else 0.0
        self.duplicates = random.random() < 0.7
        self.restores_old_states = random.random() < 0.15
        self._in_nested_run = False
        self._flavors_change = seed % 8 == 1
        self._volumes: dict[tuple[str, str, int], int] = {}
        """Sizes of the volumes that have been seen: none is ever removed."""
        host_parts = seed % 4 == 2  # devices and pinned CPUs, at sites without flavors
        connects = NETWORKING[seed % len(NETWORKING)]
        names = ("lab",) if random.random() < 0.8 else ("hall", "lab")
        self.sites = tuple(
            SimulatedSite(
                name=name,
                file=":memory:",
                identity=kind,
                window_s=WINDOW_S if self.delay_s else 0.0,
                vlans=((20, 60),),
                public=PublicNetwork(network="public", addresses=("192.0.2.10-192.0.2.60",)),
                flavors=FLAVORS if seed % 4 == 1 else None,
                quotas=QUOTAS,
                user_data_limit=(ROUTED_USER_DATA_LIMIT if connects.router else USER_DATA_LIMIT) if seed % 16 == 5 else None,
                late=LATE[seed % len(LATE)],
                connects=connects,
                devices=DEVICES if host_parts else (),
                host=SimulatedHost(threads=2, cells=4) if host_parts else SimulatedHost(),
            )
            for name in names
        )
        self.worlds = {name: SharedWorld(None) for name in names}
        self.providers = {
            site.name: FaultySite(site, self.worlds[site.name], self.faults, self.clock, self.delay_s, duplicates=self.duplicates)
            for site in self.sites
        }
        self.executor = executor_factory(self.faults, self.clock)
        self.host_parts = host_parts
        self.stacks = [Stack(lineage, self) for lineage in LINEAGES[: 1 if random.random() < 0.7 else 2]]
        for world in self.worlds.values():
            with world.writing() as there:
                for obj in _FOREIGN_OBJECTS:
                    there.put(obj)

    def run(self) -> None:
        """Run the scenario. Raises InvariantError."""
        random = self.faults.random
        for _ in range(random.randint(2, SHORT if self.seed < SHORT_SEEDS else LONG)):
            stack = random.choice(self.stacks)
            if random.random() < 0.6:
                stack.editor.edit()
            if self.restores_old_states and stack.store.versions and random.random() < 0.3:
                stack.store.restore(random.choice(stack.store.versions))
            self.try_to_apply(stack)
            self.check_nothing_lost()
            self.pass_time()
            if self._flavors_change:
                self.change_flavors()
        self.end()

    def try_to_apply(self, stack: Stack) -> None:
        try:
            stack.apply()
        except Crash:
            self.faults.crashed = False
        except PragmaspecError:
            pass  # the next run continues

    def pass_time(self) -> None:
        self.clock.sleep(self.faults.random.choice((0.0, 0.0, 0.0, 1.0, 10.0, 40.0)))

    def change_flavors(self) -> None:
        """Withdraw or offer flavors. The largest always remains, so that every request fits."""
        for provider in self.providers.values():
            kept = tuple(flavor for flavor in FLAVORS[:-1] if self.faults.random.random() < 0.5)
            provider._real._site = replace(provider._real._site, flavors=(*kept, FLAVORS[-1]))

    def between_plan_and_apply(self, stack: Stack) -> None:
        """Let time pass, and possibly the complete run of another stack."""
        if self.faults.calm:
            return
        self.pass_time()
        others = [other for other in self.stacks if other is not stack]
        if others and not self._in_nested_run and self.faults.random.random() < 0.3:
            self._in_nested_run = True
            self.try_to_apply(others[0])
            self._in_nested_run = False

    def end(self) -> None:
        """End all faults and delays. Each stack then needs one apply, and its next plan must be empty."""
        self.faults.calm = True
        self.clock.sleep(10 * WINDOW_S)
        # An apply may find a resource that belongs to another stack, or to objects of this one from before its state was
        # restored; then another plan is needed.
        rounds = len(self.stacks) + self.restores_old_states
        while failures := self._apply_all():
            rounds -= 1
            if not rounds:
                raise InvariantError(f"apply without faults: {failures[0]}") from failures[0]
        for stack in self.stacks:
            plan = stack.plan(stack.store.state(), stack.editor.wanted())
            if not plan.empty or (plan.drift and not self.restores_old_states):
                acts = [(action.key, action.reason) for action in plan.actions]
                raise InvariantError(f"not converged: {acts} {[(drift.address, drift.detail) for drift in plan.drift]}")
            self.check_equal(stack, {drift.address for drift in plan.drift})
        self.check_owners()
        self.check_quotas()

    def _apply_all(self) -> list[PragmaspecError]:
        failures = []
        for stack in self.stacks:
            try:
                stack.apply()
            except PragmaspecError as error:
                failures.append(error)
        return failures

    def check_nothing_lost(self) -> None:
        """Every object at the sites is recorded, or its op is closed; and no object was created twice where that is avoidable."""
        for stack in () if self.restores_old_states else self.stacks:
            state = stack.store.state()
            known = {record.original_address for record in state.records}
            closed = {each.op for each in state.closed_ops}
            for obj in self._objects(stack.lineage):
                if obj.address not in known and obj.op not in closed:
                    raise InvariantError(f"{obj.address} (op {obj.op}) is at the site and not recorded")
        volumes = {
            (name, volume.name, volume.made): volume.size_bytes
            for name, world in self.worlds.items()
            for volume in world._memory.volumes.values()
        }
        for key, size_bytes in self._volumes.items():
            if volumes.get(key, 0) < size_bytes:
                raise InvariantError(f"volume {key} is lost, or smaller than {size_bytes}")
        self._volumes = volumes
        twice = set().union(*(provider.twice for provider in self.providers.values()))
        if twice and not self.duplicates and self.delay_s < WINDOW_S:
            raise InvariantError(f"created twice: {twice}")

    def check_equal(self, stack: Stack, reported: set[str]) -> None:
        """Recorded = present, object by object, and everything is ready. ``reported`` are extra objects that the plan shows."""
        state = stack.store.state()
        for record in state.records:
            if record.status != "ready":
                raise InvariantError(f"{record.address} is {record.status}: {record.problem}")
        recorded = Counter(record.original_address for record in state.records if not isinstance(record.resource, StagedImage))
        present = Counter(obj.address for obj in self._objects(stack.lineage))
        beside = {obj.address for obj in self._objects(stack.lineage) if not {obj.address, f"{obj.address}#{obj.id}"} & reported}
        if (present - recorded and not reported) or recorded - present or not beside <= recorded.keys():
            raise InvariantError(f"recorded {recorded} is not present {present}; reported: {reported}")
        self._check_objects(stack, reported)
        images = {
            (record.resource.site, record.resource.digest) for record in state.records if isinstance(record.resource, StagedImage)
        }
        there = {
            (name, image.digest)
            for name, world in self.worlds.items()
            for image in world._memory.images.values()
            if stack.lineage in image.users
        }
        if images - there or (there - images and not self.restores_old_states):
            raise InvariantError(f"images recorded {images} are not those present {there}")

    def _check_objects(self, stack: Stack, reported: set[str]) -> None:
        """Each object is as recorded."""
        state = stack.store.state()
        by_address = {obj.address: obj for obj in self._objects(stack.lineage) if f"{obj.address}#{obj.id}" not in reported}
        for record in state.records:
            obj, resource = by_address.get(record.original_address), record.resource
            if isinstance(resource, Node) and isinstance(obj, SimulatedMachine):
                # With identities that the client chooses, a late boot leaves its op on the machine, which is still the right one.
                op = obj.op if self.restores_old_states or self.sites[0].identity == "ident" else record.op
                size = (resource.flavor, resource.cpus) if resource.running else (obj.flavor, obj.cpus)
                expected = (resource.running, size, record.generation, op)
                if expected != (obj.status == "running", (obj.flavor, obj.cpus), obj.generation, obj.op):
                    raise InvariantError(f"{record} is not {obj}")
                self._check_disks(resource, obj)
                self._check_host_parts(resource, obj)
                self._check_addresses(resource, obj)
                self._check_told(resource, obj)
            if isinstance(resource, Volume) and isinstance(obj, SimulatedVolume) and resource.size_bytes != obj.size_bytes:
                raise InvariantError(f"{record} is not {obj}")
            if isinstance(resource, Allocation) and isinstance(obj, Grant):
                vlans = {network.vlan for network in resource.networks}
                if vlans != {network.vlan for network in obj.networks} or obj.public != tuple(p.address for p in resource.public):
                    raise InvariantError(f"{record} is not {obj}")

    def _check_told(self, node: Node, machine: SimulatedMachine) -> None:
        """A frontend, for which the site's user-data is too small, has received the members of its cluster over ssh."""
        limit = self.sites[0].user_data_limit
        if limit is None:
            return
        if not 0 < machine.user_data_bytes <= limit:
            raise InvariantError(f"{machine.address} has user-data of {machine.user_data_bytes} bytes")
        if node.running and node.role == "frontend" and machine.received != node.peers:
            raise InvariantError(f"{machine.address} has not received its members")

    def _check_addresses(self, node: Node, machine: SimulatedMachine) -> None:
        """The recorded interfaces of a running node are known, and have the values that the site has chosen for the machine."""
        late, there = self.sites[0].late, {each.network: each for each in machine.interfaces}
        for nic in node.nics if node.running else ():
            wrong = not (nic.mac and nic.address)
            interface = "private" if nic.translated else nic.network
            wrong |= "macs" in late and nic.mac != there[interface].mac
            wrong |= "private" in late and nic.network != "public" and nic.address != there[nic.network].address
            if wrong:
                raise InvariantError(f"{node} has the interfaces {machine.interfaces}")

    def _check_host_parts(self, node: Node, machine: SimulatedMachine) -> None:
        """The machine has the recorded devices and CPUs, except that one that should be off gets them later."""
        if node.running and (device_addresses(node), node.pinned) != (machine.devices, machine.pinned):
            raise InvariantError(f"{node} has the devices {machine.devices} and the CPUs {machine.pinned}")

    def _check_disks(self, node: Node, machine: SimulatedMachine) -> None:
        """The machine has the recorded disks, except that one that should be off gets them later."""
        if not node.running:
            return
        recorded = {disk.name: disk.size_bytes for disk in node.own_disks}
        present = {disk.name: disk.size_bytes for disk in machine.disks if not disk.volume}
        if recorded != present or len(node.volumes) != sum(bool(disk.volume) for disk in machine.disks):
            raise InvariantError(f"{node} has the disks {machine.disks}")

    def check_owners(self) -> None:
        """Each VLAN, address, device and pinned CPU has one owner, and the foreign objects are unchanged."""
        for world in self.worlds.values():
            held = Counter(part for each in world._memory.machines.values() for part in (*each.devices, *each.pinned))
            if shared := [part for part, count in held.items() if count > 1]:
                raise InvariantError(f"more than one machine has {shared}")
            grants = list(world._memory.grants.values())
            claims = Counter(network.vlan for grant in grants for network in grant.networks if network.vlan is not None)
            claims.update(address for grant in grants for address in grant.public)
            twice = [claim for claim, count in claims.items() if count > 1]
            if twice:
                raise InvariantError(f"more than one owner of {twice}")
            objects = {*world._memory.machines.values(), *grants}
            if not objects.issuperset(_FOREIGN_OBJECTS):
                raise InvariantError("foreign objects were changed")

    def check_quotas(self) -> None:
        """The counted use of quotas is that of the objects at the sites."""
        for world in self.worlds.values():
            there = world._memory
            counted: Counter[str] = Counter()
            for machine in there.machines.values():
                counted.update(machine_amounts(machine))
            for grant in there.grants.values():
                counted.update(grant_amounts(grant))
            for volume in there.volumes.values():
                counted.update(volume_amounts(volume))
            if +counted != +there.amounts:
                raise InvariantError(f"the amounts {+there.amounts} are not those of the objects {+counted}")

    def _objects(self, lineage: str) -> list[SimulatedMachine | Grant | SimulatedVolume]:
        return [
            obj
            for world in self.worlds.values()
            for obj in (*world._memory.machines.values(), *world._memory.grants.values(), *world._memory.volumes.values())
            if obj.lineage == lineage
        ]


_FOREIGN_OBJECTS: tuple[SimulatedMachine | Grant, ...] = (
    SimulatedMachine(address="lab/alpha/node/alpha-frontend", lineage=FOREIGN, op="f" * 32, made=-1, alone=False),
    Grant(
        address="lab/alpha/allocation",
        lineage=FOREIGN,
        op="e" * 32,
        networks=(GrantedNetwork(name="private", cidr="10.20.0.0/16", vlan=20),),
        public=("192.0.2.10",),
    ),
)
