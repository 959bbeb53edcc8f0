"""A simulated site with a clock that does not wait."""

from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

import pytest

from pragmaspec.images.reporter import ImageFiles
from pragmaspec.providers.base import BootRequest, StageRequest
from pragmaspec.providers.simulated.provider import SimulatedProvider
from pragmaspec.providers.simulated.shared_world import SharedWorld
from pragmaspec.resources import Allocation, Blob, Mark, Network, Nic, Node, PublicGrant, Resource, StagedImage
from pragmaspec.site import SimulatedSite

LINEAGE = "3f9a1c2b-0000-4000-8000-000000000001"
OTHER = "77777777-0000-4000-8000-000000000002"


class QuickClock:
    """Time that passes only in ``sleep``."""

    def __init__(self) -> None:
        self._now = 1_000_000.0
        self._lock = Lock()

    def now(self) -> float:
        return self._now

    def sleep(self, seconds: float) -> None:
        with self._lock:
            self._now += seconds


@dataclass
class Stack:
    """One stack with one cluster ``hello`` at one simulated site."""

    site: SimulatedSite
    lineage: str = LINEAGE
    world: SharedWorld = field(default_factory=lambda: SharedWorld(None))
    clock: QuickClock = field(default_factory=QuickClock)

    def __post_init__(self) -> None:
        self.provider = SimulatedProvider(self.site, self.clock, self.world)

    def again(self, site: SimulatedSite) -> "Stack":
        """The same stack after its user changed the site's options."""
        return Stack(site, self.lineage, self.world, self.clock)

    image = StagedImage(
        site="lab",
        digest="ab" * 32,
        name="debian",
        format="raw",
        disk=Blob(sha256="ab" * 32, size_bytes=2**30),
        virtual_size_bytes=2**31,
    )
    allocation = Allocation(
        site="lab",
        cluster="hello",
        networks=(Network(name="private", cidr="10.20.0.0/16", vlan=20),),
        public=(PublicGrant(node="hello-frontend", address="192.0.2.10", prefix=24),),
    )

    def mark(self, resource: Resource, generation: int = 0) -> Mark:
        return Mark(lineage=self.lineage, address=resource.address, generation=generation)

    def node(self, index: int = 0, **changes) -> Node:
        nic = Nic(
            network="private",
            mac=f"52:54:00:00:{index // 256:02x}:{index % 256:02x}",
            address=f"10.20.{index // 200}.{index % 200 + 10}",
            prefix=16,
        )
        values = {"cpus": 1, "memory_mib": 1024, "disk_bytes": 2**31, "image": self.image.digest} | changes
        return Node(
            site="lab", cluster="hello", name=f"hello-compute-{index}", role="compute", index=index, nics=(nic,), **values
        )

    def allocate(self, wanted: Allocation | None = None):
        wanted = wanted or self.allocation
        return self.provider.allocate(wanted, self.mark(wanted))

    def stage(self):
        return self.provider.stage(StageRequest(self.image, self.mark(self.image), lambda: ImageFiles(disk=Path("disk.raw"))))

    def prepare(self) -> "Stack":
        self.allocate()
        self.stage()
        return self

    def boot_request(self, node: Node, generation: int = 0) -> BootRequest:
        return BootRequest(
            node=node, allocation=self.allocation, image=self.image, mark=self.mark(node, generation), seed=b"seed"
        )

    def boot(self, node: Node | None = None, generation: int = 0):
        return self.provider.boot(self.boot_request(node or self.node(), generation))

    def stage_of(self, node: Node | None = None):
        node = node or self.node()
        return self.provider.guest_stage(node, self.mark(node))

    def observed(self):
        return self.provider.observe(self.lineage)


@pytest.fixture
def make_stack():
    """``make_stack(**options of the site)``: a stack at a new site in memory."""
    return lambda **options: Stack(SimulatedSite(name="lab", **options))


@pytest.fixture
def stack(make_stack) -> Stack:
    return make_stack()
