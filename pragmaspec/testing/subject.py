"""The subject of the contract: a stack at a site, with an image to stage, and free pools."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from dataclasses import replace as replaced
from hashlib import sha256
from pathlib import Path
from typing import Any, Self
from uuid import uuid4

from msgspec.structs import replace

from pragmaspec.images.reporter import ImageFiles
from pragmaspec.planning.allocation.allocator import TRANSLATED_PREFIX, connected_network
from pragmaspec.planning.allocation.flavors import flavor_order
from pragmaspec.planning.observed import HostDevice, Inventory, Observations
from pragmaspec.plugins import find_plugin
from pragmaspec.providers.base import BootRequest, Provider, StageRequest, TransferProgress
from pragmaspec.providers.registry import open_provider
from pragmaspec.resources import (
    Allocation,
    Blob,
    Mark,
    Network,
    Nic,
    Node,
    NodeDevice,
    Outputs,
    PublicGrant,
    Resource,
    StagedImage,
    Volume,
)
from pragmaspec.site import ExternalSite, Flavor, Site


@dataclass
class Subject:
    """One site under test, seen by one stack; ``other()`` is a second stack at the same site."""

    site: Site
    provider: Provider
    image: StagedImage
    files: ImageFiles
    vlan: int
    """The first of ten VLANs that are free; at a site without VLANs only the ranges of networks depend on it."""
    public: str | None
    """A public address that is free; None for a site that has none."""
    lineage: str = field(default_factory=lambda: str(uuid4()))
    fetched: int = 0
    """Number of times that the files of the image were read."""
    rounds: int = 3
    """Number of repetitions of races."""
    faithful: bool = True
    """False for a site that starts machines whose requirements are missing, as libvirt's test driver does."""
    stacks: list[str] = field(default_factory=list)
    """Lineages of all stacks that a test created at this site."""
    offered: list[tuple[Flavor, ...] | None] = field(default_factory=list)
    """The site's flavors, once they were asked for."""
    disk_units: list[int] = field(default_factory=list)
    """The unit of the sizes of disks, once it was asked for."""
    ids: dict[str, str] = field(default_factory=dict)
    """The site's ids of machines, by address and generation."""

    @classmethod
    def at(cls, site: Site, directory: Path, *, vlan: int = 20, public: str | None = None, rounds: int = 3) -> Self:
        """Return a stack at ``site`` with a small image, whose file is in ``directory``."""
        if isinstance(site, ExternalSite):
            site = _with_declarations(site)
        return cls(site, open_provider(site), *small_image(directory, site.name), vlan, public, rounds=rounds)

    def __post_init__(self) -> None:
        self.stacks.append(self.lineage)

    def other(self) -> "Subject":
        """Return another stack at the same site."""
        return replaced(self, lineage=str(uuid4()), fetched=0, ids={})

    def held(self) -> tuple[int, int, int]:
        """CPUs, memory in MiB and bytes of disk used by this stack."""
        ours = [held for held in self.provider.inventory().holdings if held.lineage == self.lineage]
        return sum(held.cpus for held in ours), sum(held.memory_mib for held in ours), sum(held.disk_bytes for held in ours)

    def require(self, ability: str) -> Any:  # noqa: ANN401 - a protocol of the ability's name
        """Return an ability of the provider. Raises LookupError where it is absent: a test that needs it is marked so."""
        found = getattr(self.provider.abilities, ability)
        if found is None:
            raise LookupError(f'The provider has no {ability}: mark the test with @needs("{ability}").')
        return found

    def mark(self, resource: Resource, generation: int = 0) -> Mark:
        """Return the mark of an object of this stack."""
        return Mark(lineage=self.lineage, address=resource.address, generation=generation)

    def allocation(self, cluster: str = "hello", *, offset: int = 0, public: bool = False) -> Allocation:
        """Return an allocation with one private network, whose VLAN is ``offset`` after the first."""
        return Allocation(
            site=self.site.name,
            cluster=cluster,
            networks=(self.network("private", f"10.{(self.vlan + offset) % 200 + 40}.0.0/16", offset),),
            public=(self.grant(cluster, self.public),) if public and self.public else (),
        )

    def network(self, name: str, cidr: str, offset: int) -> Network:
        """Return a network as the site connects it; its VLAN, if it has one, is ``offset`` after the first."""
        return connected_network(Network(name=name, cidr=cidr, vlan=self.vlan + offset), self.site.networking)

    def grant(self, cluster: str, address: str) -> PublicGrant:
        """Return the grant of a public address to the frontend of ``cluster``; empty: one of the site's choice."""
        translated = self.site.networking.translated
        return PublicGrant(
            node=f"{cluster}-frontend",
            address=address,
            prefix=TRANSLATED_PREFIX if translated else 24,
            network=self.public_network,
            translated=translated,
        )

    @property
    def public_network(self) -> str | None:
        """The name of the site's public network, if it is a network."""
        pool = self.provider.inventory().public
        return pool.network if pool else None

    def node(
        self,
        name: str = "hello-frontend",
        *,
        cpus: int = 1,
        memory_mib: int = 128,
        devices: tuple[NodeDevice, ...] = (),
        cpu: str = "",
    ) -> Node:
        """Return a node of the cluster ``hello``, at a site with flavors of the smallest that has the CPUs and the memory.

        ``cpu``: its processor.
        """
        digits = sha256(f"{self.lineage}{name}".encode()).hexdigest()
        private = self.allocation().private
        address = f"{private.cidr.rpartition('.0/')[0]}.{int(digits[:2], 16) % 200 + 10}"
        mac = f"52:54:00:{digits[:2]}:{digits[2:4]}:{digits[4:6]}"
        late = self.site.late_values
        nic = Nic(network="private", mac="" if "macs" in late else mac, address="" if "private" in late else address, prefix=16)
        node = Node(
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
            devices=devices,
            cpu=cpu,
        )
        return self.with_flavor(node)

    def with_flavor(self, node: Node) -> Node:
        """Return ``node`` with the smallest flavor that fits, if the site has flavors. Raises LookupError if none fits."""
        if not self.offered:
            self.offered.append(self.provider.inventory().flavors)  # once: an inventory of a cloud takes seconds
        offered = self.offered[0]
        if offered is None:
            return node
        fitting = (
            each
            for each in sorted(offered, key=flavor_order)
            if each.cpus >= node.cpus
            and each.memory_mib >= node.memory_mib
            and (not each.disk_bytes or each.disk_bytes >= node.disk_bytes)
        )
        found = next(fitting, None)
        if found is None:
            raise LookupError(f"No flavor has {node.cpus} cpus and {node.memory_mib} MiB.")
        disk_bytes = found.disk_bytes or node.disk_bytes
        return replace(node, cpus=found.cpus, memory_mib=found.memory_mib, disk_bytes=disk_bytes, flavor=found.name)

    @property
    def disk_unit(self) -> int:
        """The unit of the sizes of disks, in bytes."""
        if not self.disk_units:
            self.disk_units.append(max(2**20, self.provider.inventory().disks.unit_bytes))
        return self.disk_units[0]

    def volume(self, name: str = "home", *, units: int = 2) -> Volume:
        """Return a volume."""
        return Volume(site=self.site.name, name=name, size_bytes=units * self.disk_unit, cluster="hello")

    def boot_request(self, node: Node, generation: int = 0) -> BootRequest:
        """Return the request for a node, with the op and the id of its machine where the site assigns identities."""
        mark = self.mark(node, generation)
        if self.provider.identity_kind != "ident":
            mark = replace(mark, op=sha256(mark.uuid.encode()).hexdigest()[:32])
        return BootRequest(
            node=node,
            allocation=self.allocation(),
            image=self.image,
            mark=mark,
            seed=b"a fake seed".ljust(2048, b"\0") if self.site.delivery.seed else b"",
            user_data=b"" if self.site.delivery.limit is None else b"#cloud-config\n{}\n",
            site_id=self.ids.get(mark.uuid, ""),
            volumes=tuple((name, self.mark(self.volume(name))) for name in node.volumes),
        )

    def allocate(self, wanted: Allocation) -> None:
        """Allocate for this stack."""
        self.provider.allocate(wanted, self.mark(wanted))

    def stage_request(
        self, files: Callable[[], ImageFiles] | None = None, progress: TransferProgress = lambda _done, _total: None
    ) -> StageRequest:
        """Return the request to stage the image; ``files`` replaces its files."""
        return StageRequest(self.image, self.mark(self.image), files or self.bytes, progress)

    def stage(self) -> None:
        """Stage the image."""
        self.provider.stage(self.stage_request())

    def boot(self, node: Node, generation: int = 0) -> Outputs:
        """Boot a node, remember the id of its machine, and return the outputs."""
        request = self.boot_request(node, generation)
        outputs = self.provider.boot(request)
        self.ids[request.mark.uuid] = dict(outputs).get("id", "")
        return outputs

    def prepare(self) -> None:
        """Allocate the cluster and stage its image, as every node requires."""
        self.allocate(self.allocation())
        self.stage()

    def bytes(self) -> ImageFiles:
        """Return the files of the image, and count the access."""
        self.fetched += 1
        return self.files

    def observed(self) -> Observations:
        """Return everything of this stack at the site."""
        return self.provider.observe(self.lineage)

    def clean_all(self) -> None:
        """Clean everything of this stack that the site reports."""
        seen = self.observed()
        for found in seen.nodes:
            node = replace(self.node(), name=found.address.rpartition("/")[2])
            self.provider.clean(node, replace(self.mark(node, found.generation), op=found.op))
        for kept in seen.volumes:
            volume = self.volume(kept.address.rpartition("/")[2])
            self.provider.clean(volume, replace(self.mark(volume), op=kept.op))
        for allocation in seen.allocations:
            wanted = self.allocation(allocation.address.split("/")[1])
            self.provider.clean(wanted, self.mark(wanted))
        if seen.images:
            self.provider.clean(self.image, self.mark(self.image))


def _with_declarations(site: ExternalSite) -> ExternalSite:
    """Return ``site`` with the values of its provider's description for those that it does not declare itself."""
    description = find_plugin(site.plugin).description
    plain = ExternalSite(name="", plugin="")
    return replace(
        site,
        late=site.late or description.late_values,
        declared_delivery=description.delivery if site.declared_delivery == plain.delivery else site.declared_delivery,
        declared_networking=description.networking if site.networking == plain.networking else site.networking,
    )


def free_devices(inventory: Inventory) -> list[HostDevice]:
    """Return the devices of hosts that a new machine can have."""
    used = {use.value for use in inventory.device_uses}
    return [each for each in inventory.host_devices if each.aliases and not each.problem and each.address not in used]


def comparable(subject: Subject) -> tuple[object, ...]:
    """The site's contents that these tests may change; a real hypervisor may have other users at the same time."""
    inventory = subject.provider.inventory()
    ours = range(subject.vlan, subject.vlan + 10)
    return (
        sorted(taken.value for taken in inventory.addresses if taken.value == subject.public),
        sorted(taken.value for taken in inventory.vlans if int(taken.value) in ours),
        sorted(taken.value for taken in inventory.cidrs if taken.lineage in subject.stacks),
        sorted(inventory.images),
        sorted(use.value for use in inventory.device_uses if use.lineage in subject.stacks),
        sorted(volume.value for volume in inventory.volumes if volume.lineage in subject.stacks),
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


def left_as_found(subject: Subject) -> Iterator[Subject]:
    """Yield ``subject``, then clean its objects. The site must then be as before."""
    before = comparable(subject)
    yield subject
    subject.clean_all()
    after = comparable(subject)
    subject.provider.close()
    assert after == before, "a clean left something behind"
