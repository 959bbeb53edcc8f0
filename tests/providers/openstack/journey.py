"""The life of one cluster through the provider, in named states, with all that the services must list in each."""

import json
import os
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

from msgspec.structs import replace

from pragmaspec.plugins import BUILT_IN
from pragmaspec.providers.base import BootRequest, Provider, StageRequest, VolumeStorage
from pragmaspec.providers.gibibytes import GIB
from pragmaspec.providers.openstack.marks import machine_tags, metadata_of
from pragmaspec.providers.registry import open_provider
from pragmaspec.resources import Allocation, Disk, Mark, Network, Nic, Node, PublicGrant, Resource, Volume
from pragmaspec.site import ExternalSite
from pragmaspec.testing.subject import small_image
from tests.providers.openstack.project_listing import ProjectListing

STATES = ("nothing", "allocated", "staged", "stored", "running")
"""And ``off`` beside ``running``."""
_FORTH = ("allocate", "stage", "allocate volume", "boot")
_BACK = ("", "clean allocation", "clean image", "clean volume", "clean node")
FLAVORS = ("tiny", "small", "medium", "large")
CANARY = "a-password-in-user-data"
_DESCRIPTION = BUILT_IN["openstack"]


class Verb(NamedTuple):
    """A call of the provider, from a state to a state."""

    name: str
    start: str
    end: str
    call: Callable[[Provider], object]


def cloud_site(cloud: str, zone: str = "fake") -> ExternalSite:
    """Return a cloud of ``OS_CLIENT_CONFIG_FILE`` as a site."""
    return ExternalSite(
        name="lab",
        plugin="openstack",
        options=json.dumps({"cloud": cloud, "zones": [zone]}),
        late=_DESCRIPTION.late_values,
        declared_delivery=_DESCRIPTION.delivery,
        declared_networking=_DESCRIPTION.networking,
    )


class Journey:
    """One cluster with a frontend, at ``site``; ``listing`` is of the same project."""

    def __init__(self, site: ExternalSite, listing: ProjectListing, directory: Path) -> None:
        self.site, self.listing = site, listing
        self.state = "nothing"
        self.lineage = str(uuid4())
        self._flavor = 0
        self._gib = {"volume": 1, "disks": 1}
        self._duplicate = ""
        self._directory = directory
        self._renew()

    def verbs(self) -> tuple[Verb, ...]:
        """Return all verbs in an order in which each begins in the state that the one before has ended in."""
        return (
            Verb("identity", "nothing", "nothing", lambda provider: provider.identity()),
            Verb("inventory", "nothing", "nothing", lambda provider: provider.inventory()),
            Verb("allocate", "nothing", "allocated", self._allocate),
            Verb("stage", "allocated", "staged", self._stage),
            Verb("allocate volume", "staged", "stored", self._allocate_volume),
            Verb("boot", "stored", "running", self._boot),
            Verb("boot again", "running", "running", self._boot),
            Verb("observe", "running", "running", lambda provider: provider.observe(self.lineage)),
            Verb("grow volume", "running", "running", self._allocate_volume),
            Verb("grow disks", "running", "running", self._grow_disks),
            Verb("shutdown", "running", "off", lambda provider: provider.shutdown(self.node, self.mark(self.node), 0)),
            Verb("start with disks", "off", "running", self._boot),
            Verb("remove_duplicate", "running", "running", self._remove_duplicate),
            Verb("resize", "running", "running", self._boot),
            Verb("clean node", "running", "stored", lambda provider: provider.clean(self.node, self.mark(self.node))),
            Verb("clean volume", "stored", "staged", lambda provider: provider.clean(self.volume, self.mark(self.volume))),
            Verb("clean image", "staged", "allocated", lambda provider: provider.clean(self.image, self.mark(self.image))),
            Verb("clean allocation", "allocated", "nothing", self._clean_allocation),
        )

    def begin(self, verb: Verb) -> None:
        """Reach the state in which ``verb`` begins, and prepare what it changes."""
        if verb.start == "nothing" and self.state == "nothing":
            self._renew()
        self.reach(verb.start)
        if verb.name == "resize":
            if self._flavor + 1 == len(FLAVORS):
                self.reach("stored")
                self._flavor = 0
                self.reach("running")
            self._flavor += 1
        if verb.name == "remove_duplicate":
            self._duplicate = self._add_duplicate()
        if verb.name.startswith("grow"):
            self._gib[verb.name.removeprefix("grow ")] += 1
        if verb.name == "start with disks":
            self.listing.detach_volumes(self.node.name)

    def reach(self, state: str) -> None:
        """Go to ``state`` without faults, by the shortest way."""
        provider = self.open()
        by_name = {verb.name: verb for verb in self.verbs()}
        while self.state != state:
            if self.state == "off":
                step = by_name["start with disks" if state == "running" else "clean node"]
            elif state == "off" and self.state == "running":
                step = by_name["shutdown"]
            else:
                here, there = STATES.index(self.state), STATES.index("running" if state == "off" else state)
                name = _FORTH[here] if here < there else _BACK[here]
                step = by_name[name]
            step.call(provider)
            self.state = step.end
        provider.close()

    def open(self) -> Provider:
        """Return a provider that has not signed in yet, as a new process has it."""
        return open_provider(self.site)

    def expected(self, state: str) -> list[str]:
        """Return the lines of the listing in ``state``."""
        cluster = self.cluster
        lines = []
        if state != "nothing":
            lines += [f"group {cluster} with 5 rules", f"network {cluster}-private", f"subnet {cluster}-private"]
            lines += [f"router {cluster}", "port 10.60.0.1 of network:router_interface"]
            lines += [f"floating address of {'10.60.0.4' if state in ('running', 'off') else 'nothing'}"]
        if state not in ("nothing", "allocated"):
            lines += ["image small active"]
        if state in ("stored", "running", "off"):
            held = self.node.name if state != "stored" else "nothing"
            lines += [f"volume home-{cluster} of {self._gib['volume']} GiB at {held}"]
        if state in ("running", "off"):
            lines += [f"volume {self.node.name}-scratch of {self._gib['disks']} GiB at {self.node.name}"]
            status = "ACTIVE" if state == "running" else "SHUTOFF"
            lines += [f"server {self.node.name} {status} {FLAVORS[self._flavor]}", f"port 10.60.0.4 of server {self.node.name}"]
        return sorted(lines)

    def mark(self, resource: Resource) -> Mark:
        """Return the mark of a resource of this stack, created by an operation that its address names."""
        op = sha256(f"{self.lineage}{resource.address}".encode()).hexdigest()[:32]
        return Mark(lineage=self.lineage, address=resource.address, op=op)

    @property
    def node(self) -> Node:
        """The frontend, of the present flavor, with a disk of its own and a kept volume."""
        disks = (
            Disk(name="home", size_bytes=self._gib["volume"] * GIB, volume=self.volume.name),
            Disk(name="scratch", size_bytes=self._gib["disks"] * GIB),
        )
        return replace(self._node, flavor=FLAVORS[self._flavor], disks=disks)

    @property
    def volume(self) -> Volume:
        """The kept volume."""
        name, size_bytes = f"home-{self.cluster}", self._gib["volume"] * GIB
        return Volume(site=self.site.name, name=name, size_bytes=size_bytes, cluster=self.cluster)

    def request(self) -> BootRequest:
        """Return the request for the frontend."""
        return BootRequest(
            node=self.node,
            allocation=self.allocation,
            image=self.image,
            mark=self.mark(self.node),
            seed=b"",
            volumes=((self.volume.name, self.mark(self.volume)),),
            user_data=f"#cloud-config\npassword: {CANARY}\n".encode(),
        )

    def _renew(self) -> None:
        """Begin with another cluster and another image, so that nothing is left by chance."""
        self.cluster = f"c{os.urandom(3).hex()}"
        self.image, self.files = small_image(self._directory, self.site.name)
        name = f"{self.cluster}-frontend"
        self.allocation = Allocation(
            site=self.site.name,
            cluster=self.cluster,
            networks=(Network(name="private", cidr="10.60.0.0/24", gateway="10.60.0.1", dhcp=True),),
            public=(PublicGrant(node=name, address="", prefix=32, network="public", translated=True),),
        )
        digits = sha256(self.cluster.encode()).hexdigest()
        mac = f"52:54:00:{digits[:2]}:{digits[2:4]}:{digits[4:6]}"
        self._node = Node(
            site=self.site.name,
            cluster=self.cluster,
            name=name,
            role="frontend",
            index=0,
            cpus=1,
            memory_mib=128,
            disk_bytes=self.image.virtual_size_bytes,
            image=self.image.digest,
            nics=(Nic(network="private", mac=mac, address="10.60.0.4", prefix=24),),
        )
        self._flavor = 0
        self._gib = {"volume": 1, "disks": 1}

    def _allocate(self, provider: Provider) -> object:
        return provider.allocate(self.allocation, self.mark(self.allocation))

    def _stage(self, provider: Provider) -> object:
        return provider.stage(StageRequest(self.image, self.mark(self.image), lambda: self.files, lambda _done, _total: None))

    def _allocate_volume(self, provider: Provider) -> object:
        return _storage(provider).allocate_volume(self.volume, self.mark(self.volume))

    def _grow_disks(self, provider: Provider) -> object:
        return _storage(provider).grow_disks(self.node, self.mark(self.node))

    def _boot(self, provider: Provider) -> object:
        return provider.boot(self.request())

    def _remove_duplicate(self, provider: Provider) -> object:
        return provider.remove_duplicate(self._duplicate, self._duplicate_mark)

    def _clean_allocation(self, provider: Provider) -> object:
        return provider.clean(self.allocation, self.mark(self.allocation))

    @property
    def _duplicate_mark(self) -> Mark:
        return replace(self.mark(self.node), op="d" * 32)

    def _add_duplicate(self) -> str:
        mark = self._duplicate_mark
        return self.listing.add_server(name="duplicate", metadata=metadata_of(mark), tags=machine_tags(mark))


def _storage(provider: Provider) -> VolumeStorage:
    storage = provider.abilities.volume_storage
    assert storage is not None
    return storage
