"""Providers in memory for tests of the engine, with hooks to fail or block calls."""

import threading
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from pragmaspec.access.ssh import SshClient
from pragmaspec.engine.context import ApplyContext
from pragmaspec.guest.keys import StackKey
from pragmaspec.images.reporter import ImageFiles
from pragmaspec.planning.observed import Observations, ObservedNode, SiteIdentity
from pragmaspec.planning.plan import Action, Plan, PlannedSite
from pragmaspec.planning.planner import state_digest
from pragmaspec.planning.wanted import Wanted, WantedCluster, WantedImage, WantedNodes
from pragmaspec.providers.base import Abilities, BootRequest, Diagnostics, StageRequest
from pragmaspec.resources import Allocation, Mark, Node, Outputs, Readiness, Resource
from pragmaspec.site import SimulatedSite
from pragmaspec.state_model import State
from tests.state.local_store import LocalStore
from tests.state.samples import ALLOCATION, DIGEST, IMAGE, act, node

SITE = SimulatedSite(name="lab", parallel=4)
KEY = StackKey(b"k" * 32)
WANTED_IMAGE = WantedImage(
    name="debian-12", origin="test", digest=DIGEST, format="qcow2", disk=IMAGE.disk, virtual_size_bytes=IMAGE.virtual_size_bytes
)
NODES = WantedNodes(count=1, cpus=1, memory_mib=1024, image="debian-12")
WANTED = Wanted(
    spec_file="cluster.yaml",
    spec_sha256="ab" * 32,
    sites=(SITE,),
    images=(WANTED_IMAGE,),
    clusters=(WantedCluster(name="hello", site="lab", frontend=NODES, computes=NODES, domain="example.org"),),
)

Hook = Callable[[str, str], None]
"""Called with verb and address before each call has its effect; may raise or block."""


class SshGuestProvider:
    """A site in memory whose guests are reached over ssh. Hooks ``before`` and ``after`` the effect of every call may fail it."""

    identity_kind = "ident"
    window_s = 0.0

    def __init__(self, before: Hook | None = None, after: Hook | None = None) -> None:
        self.resources: dict[str, Resource] = {}
        self.generations: dict[str, int] = {}
        self.running: set[str] = set()
        self.calls: list[str] = []
        self.stages: dict[str, str] = {}
        self.graces: list[float] = []
        self.seeds: list[bytes] = []
        self.orders: list[BootRequest] = []
        self.updated: list[str] = []
        self.most_at_once = 0
        self.identity_id = "fake"
        self._at_once = 0
        self._before = before or _nothing
        self._after = after or _nothing
        self._lock = threading.Lock()

    @property
    def abilities(self) -> Abilities:
        return Abilities()

    def identity(self) -> SiteIdentity:
        return SiteIdentity(id=self.identity_id, title="a fake site")

    def inventory(self) -> Any:
        raise NotImplementedError

    def observe(self, lineage: str, recorded: State | None = None) -> Observations:
        with self._lock:
            nodes = tuple(
                ObservedNode(
                    address=address, generation=self.generations[address], status="running" if address in self.running else "off"
                )
                for address, resource in self.resources.items()
                if isinstance(resource, Node)
            )
        return Observations(site="lab", identity=self.identity(), nodes=nodes)

    def allocate(self, wanted: Allocation, mark: Mark) -> Outputs:
        with self._call("allocate", mark):
            self.resources[mark.address] = wanted
        return (("granted", "yes"),)

    def stage(self, request: StageRequest) -> Outputs:
        with self._call("stage", request.mark):
            _ = request.files
            for done in (0, 0, 50, 100):
                request.progress(done, 100)
            self.resources[request.mark.address] = request.image
        return ()

    def boot(self, order: BootRequest) -> Outputs:
        with self._call("boot", order.mark):
            self.resources[order.mark.address] = order.node
            self.running.add(order.mark.address)
            self.seeds.append(order.seed)
            self.orders.append(order)
        return (("uuid", order.mark.uuid),)

    def shutdown(self, node: Node, mark: Mark, grace_s: float) -> None:
        with self._call("shutdown", mark):
            self.running.discard(mark.address)
            self.graces.append(grace_s)

    def clean(self, resource: Resource, mark: Mark) -> None:
        with self._call("clean", mark):
            self.resources.pop(mark.address, None)
            self.running.discard(mark.address)

    def diagnostics(self, node: Node, mark: Mark) -> Diagnostics:
        return Diagnostics(domain="running", console=("login: \x1b[31m",), lease="none")

    def console_log(self, node: Node, mark: Mark) -> bytes:
        return b""

    def console(self, node: Node, mark: Mark) -> None:
        raise NotImplementedError

    def close(self) -> None:
        pass

    @contextmanager
    def _call(self, verb: str, mark: Mark):
        with self._lock:
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            self._before(verb, mark.address)
            with self._lock:
                self.calls.append(f"{verb} {mark.address}")
                self.generations[mark.address] = mark.generation
                yield
            self._after(verb, mark.address)
        finally:
            with self._lock:
                self._at_once -= 1


class FakeProvider(SshGuestProvider):
    """A site with simulated guests: ready at once, unless ``stages`` has an earlier stage."""

    @property
    def abilities(self) -> Abilities:
        return Abilities(guest_simulation=self)

    def guest_stage(self, node: Node, mark: Mark) -> str:
        if mark.address not in self.running:
            return "off"
        return self.stages.get(node.name, "cloud-init")

    def guest_updated(self, node: Node, mark: Mark) -> None:
        self.updated.append(mark.address)


class PausingProvider(FakeProvider):
    """A site that creates machines paused, and runs them when they are resumed."""

    def __init__(self, before: Hook | None = None) -> None:
        super().__init__(before)
        self.made: set[str] = set()

    @property
    def abilities(self) -> Abilities:
        return Abilities(guest_simulation=self, paused_boot=self)

    def prefers_paused_boot(self) -> bool:
        return True

    def boot(self, order: BootRequest) -> Outputs:
        outputs = super().boot(order)
        if order.paused:
            self.running.discard(order.mark.address)
            self.made.add(order.mark.address)
        return outputs

    def resume(self, node: Node, mark: Mark) -> None:
        with self._call("resume", mark):
            self.running.add(mark.address)


def _nothing(verb: str, address: str) -> None:
    pass


def plan_for(state: State, *actions: Action, sites: tuple[PlannedSite, ...] = (PlannedSite(site=SITE),)) -> Plan:
    return Plan(
        lineage=state.lineage,
        serial=state.serial,
        state_sha256=state_digest(state),
        spec_file="cluster.yaml",
        spec_sha256=WANTED.spec_sha256,
        sites=sites,
        actions=actions,
    )


def bring_up(computes: int, *, readiness: Readiness | None = None) -> list[Action]:
    """Stage, allocate, and boot a frontend and computes."""
    base = [act("stage", IMAGE), act("allocate", ALLOCATION)]
    nodes = [node(index) for index in range(-1, computes)]
    if readiness:
        nodes = [replace(made, readiness=readiness) for made in nodes]
    return [*base, *(act("boot", made, *base) for made in nodes)]


@contextmanager
def applying(store: LocalStore, site: SshGuestProvider, directory: Path, remote: SshClient | None = None, **limits: float):
    """A context to apply with, holding the store's lock."""
    with store.session("test") as session:
        yield ApplyContext(
            session=session,
            providers={"lab": site},
            wanted=WANTED,
            files=lambda image: ImageFiles(disk=Path("/nowhere") / image.name),
            stack_key=KEY,
            remote=remote or SshClient(session.state.lineage, KEY, directory / "ssh"),
            **limits,
        )
