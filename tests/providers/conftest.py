"""The subjects of the contract tests: providers, each with a site, an image to stage, and free pools."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from uuid import uuid4

import pytest
from msgspec.structs import replace

from pragmaspec.images.reporter import ImageFiles
from pragmaspec.providers.base import BootRequest, Provider, StageRequest, TransferProgress
from pragmaspec.providers.registry import open_provider
from pragmaspec.resources import Allocation, Blob, Mark, Network, Nic, Node, PublicGrant, Resource, StagedImage
from pragmaspec.site import LibvirtSite, PublicNetwork, SimulatedSite, Site


@dataclass
class Subject:
    """One site under test, seen by one stack; ``other()`` is a second stack at the same site."""

    site: Site
    provider: Provider
    image: StagedImage
    files: ImageFiles
    vlan: int
    public: str | None
    lineage: str = field(default_factory=lambda: str(uuid4()))
    fetched: int = 0
    rounds: int = 3
    stacks: list[str] = field(default_factory=list)
    """Lineages of all stacks that a test created at this site."""

    def __post_init__(self) -> None:
        self.stacks.append(self.lineage)

    def other(self) -> "Subject":
        return Subject(
            self.site, self.provider, self.image, self.files, self.vlan, self.public, rounds=self.rounds, stacks=self.stacks
        )

    def held(self) -> tuple[int, int, int]:
        """CPUs, memory in MiB and bytes of disk used by this stack."""
        ours = [held for held in self.provider.inventory().holdings if held.lineage == self.lineage]
        return sum(held.cpus for held in ours), sum(held.memory_mib for held in ours), sum(held.disk_bytes for held in ours)

    def mark(self, resource: Resource, generation: int = 0) -> Mark:
        return Mark(lineage=self.lineage, address=resource.address, generation=generation)

    def allocation(self, cluster: str = "hello", *, offset: int = 0, public: bool = False) -> Allocation:
        vlan = self.vlan + offset
        granted = PublicGrant(node=f"{cluster}-frontend", address=self.public or "", prefix=24, network=self.public_network)
        return Allocation(
            site=self.site.name,
            cluster=cluster,
            networks=(Network(name="private", cidr=f"10.{vlan % 200 + 40}.0.0/16", vlan=vlan),),
            public=(granted,) if public and self.public else (),
        )

    @property
    def public_network(self) -> str | None:
        pool = self.provider.inventory().public
        return pool.network if pool else None

    def node(self, name: str = "hello-frontend", *, cpus: int = 1, memory_mib: int = 128) -> Node:
        digits = sha256(f"{self.lineage}{name}".encode()).hexdigest()
        private = self.allocation().private
        address = f"{private.cidr.rpartition('.0/')[0]}.{int(digits[:2], 16) % 200 + 10}"
        nic = Nic(network="private", mac=f"52:54:00:{digits[:2]}:{digits[2:4]}:{digits[4:6]}", address=address, prefix=16)
        return Node(
            site=self.site.name,
            cluster="hello",
            name=name,
            role="frontend" if name.endswith("frontend") else "compute",
            index=0,
            cpus=cpus,
            memory_mib=memory_mib,
            disk_bytes=self.image.virtual_size_bytes,
            image=self.image.digest,
            nics=(nic,),
        )

    def boot_request(self, node: Node, generation: int = 0) -> BootRequest:
        return BootRequest(
            node=node,
            allocation=self.allocation(),
            image=self.image,
            mark=self.mark(node, generation),
            seed=b"a fake seed".ljust(2048, b"\0"),
        )

    def allocate(self, wanted: Allocation) -> None:
        self.provider.allocate(wanted, self.mark(wanted))

    def stage_request(
        self, files: Callable[[], ImageFiles] | None = None, progress: TransferProgress = lambda _done, _total: None
    ) -> StageRequest:
        return StageRequest(self.image, self.mark(self.image), files or self.bytes, progress)

    def stage(self) -> None:
        self.provider.stage(self.stage_request())

    def boot(self, node: Node, generation: int = 0) -> None:
        self.provider.boot(self.boot_request(node, generation))

    def prepare(self) -> None:
        """Allocate the cluster and stage its image, as every node requires."""
        self.allocate(self.allocation())
        self.stage()

    def bytes(self) -> ImageFiles:
        self.fetched += 1
        return self.files

    def observed(self):
        return self.provider.observe(self.lineage)

    def clean_all(self) -> None:
        """Clean everything of this stack that the site reports."""
        seen = self.observed()
        for address in [node.address for node in seen.nodes]:
            node = replace(self.node(), name=address.rpartition("/")[2])
            self.provider.clean(node, self.mark(node))
        for allocation in seen.allocations:
            wanted = self.allocation(allocation.address.split("/")[1])
            self.provider.clean(wanted, self.mark(wanted))
        if seen.images:
            self.provider.clean(self.image, self.mark(self.image))


def comparable(subject: Subject) -> tuple[object, ...]:
    """The site's contents that these tests may change; a real hypervisor may have other users at the same time."""
    inventory = subject.provider.inventory()
    ours = range(subject.vlan, subject.vlan + 10)
    return (
        sorted(taken.value for taken in inventory.addresses if taken.value == subject.public),
        sorted(taken.value for taken in inventory.vlans if int(taken.value) in ours),
        sorted(inventory.images),
        sorted((held.owner, held.disk_bytes) for held in inventory.holdings if held.lineage in subject.stacks),
    )


def small_image(directory: Path, site: str) -> tuple[StagedImage, ImageFiles]:
    """An image of one MiB of random bytes that does not boot; enough for sites that do not run it."""
    disk = directory / "disk.raw"
    content = uuid4().bytes * 65536
    disk.write_bytes(content)
    digest = sha256(content).hexdigest()
    blob = Blob(sha256=digest, size_bytes=len(content))
    image = StagedImage(site=site, digest=digest, name="small", format="raw", disk=blob, virtual_size_bytes=len(content))
    return image, ImageFiles(disk=disk)


OWN = os.getpid() % 10
"""Separates concurrent runs of these tests at one hypervisor."""
NAME = f"pragmaspec-contract-{OWN}"
NETWORK = f"192.168.{151 + OWN}"


def simulated_memory(request: pytest.FixtureRequest, directory: Path) -> Subject:
    site = SimulatedSite(name=f"memory-{uuid4()}", file=":memory:")
    return Subject(site, open_provider(site), *small_image(directory, site.name), vlan=20, public="192.0.2.10", rounds=50)


def simulated_file(request: pytest.FixtureRequest, directory: Path) -> Subject:
    site = SimulatedSite(name="file", file=str(directory / "site.jsonl"))
    return Subject(site, open_provider(site), *small_image(directory, site.name), vlan=20, public="192.0.2.10", rounds=20)


def libvirt_test(request: pytest.FixtureRequest, directory: Path) -> Subject:
    """libvirt's in-process test driver. Its state is shared in this process, so every test cleans up."""
    site = LibvirtSite(name="pretended", uri="test:///default")
    return Subject(site, open_provider(site), *small_image(directory, site.name), vlan=20, public="192.168.122.10")


def libvirt_system(request: pytest.FixtureRequest, directory: Path) -> Subject:
    """The real daemon, with its own pool and public network. Its guests have nothing to boot, which is fast."""
    site = request.getfixturevalue("contract_site")
    return Subject(site, open_provider(site), *small_image(directory, site.name), vlan=3900 + 10 * OWN, public=f"{NETWORK}.10")


FAITHFUL = [
    pytest.param(simulated_memory, id="simulated-memory"),
    pytest.param(simulated_file, id="simulated-file"),
    pytest.param(libvirt_system, id="libvirt-system", marks=pytest.mark.hypervisor),
]
SUBJECTS = [*FAITHFUL, pytest.param(libvirt_test, id="libvirt-test")]


@pytest.fixture(params=SUBJECTS)
def subject(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Subject]:
    """A stack at a site. Its objects are cleaned at the end, and the site must then be as before."""
    yield from left_as_found(request.param(request, tmp_path))


@pytest.fixture(params=FAITHFUL)
def faithful(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Subject]:
    """A subject that checks the requirements of a machine: libvirt's test driver starts anything, and cannot resize a disk."""
    yield from left_as_found(request.param(request, tmp_path))


def left_as_found(subject: Subject) -> Iterator[Subject]:
    before = comparable(subject)
    yield subject
    subject.clean_all()
    after = comparable(subject)
    subject.provider.close()
    assert after == before, "a clean left something behind"


@pytest.fixture(scope="session")
def contract_site(hypervisor: None) -> Iterator[LibvirtSite]:
    """A storage pool and a public network at the real daemon for these tests, which must be empty at the end."""
    import libvirt

    connection = libvirt.open("qemu:///system")
    directory = Path("/var/lib/libvirt") / NAME
    directory.mkdir(mode=0o711, exist_ok=True)
    pool = connection.storagePoolDefineXML(
        f"<pool type='dir'><name>{NAME}</name><target><path>{directory}</path></target></pool>"
    )
    pool.create()
    network = connection.networkDefineXML(
        f"<network><name>{NAME}</name><bridge name='ps-contract-{OWN}'/><ip address='{NETWORK}.1' prefix='24'>"
        f"<dhcp><range start='{NETWORK}.100' end='{NETWORK}.200'/></dhcp></ip></network>"
    )
    network.create()
    yield LibvirtSite(name="lab", virt_type="qemu", pool=NAME, public=PublicNetwork(network=NAME))
    left = pool.listVolumes()
    for volume in pool.listAllVolumes():
        volume.delete()
    for thing in (network, pool):
        thing.destroy()
        thing.undefine()
    directory.rmdir()
    connection.close()
    assert left == []
