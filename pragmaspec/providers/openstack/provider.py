"""The OpenStack provider: one project of one cloud."""

from contextlib import AbstractContextManager

from pragmaspec.planning.drift.attached_machines import AttachedMachine
from pragmaspec.planning.observed import Inventory, Observations, SiteIdentity, SiteImage, StoredImage
from pragmaspec.providers.base import (
    Abilities,
    BootCheck,
    BootRequest,
    Diagnostics,
    DuplicateRemoval,
    ImageListing,
    NetworkUse,
    Provider,
    SiteImages,
    StageRequest,
    VolumeStorage,
)
from pragmaspec.providers.openstack.allocate import allocate
from pragmaspec.providers.openstack.cloud import Cloud
from pragmaspec.providers.openstack.errors import translated
from pragmaspec.providers.openstack.images import release_digest, release_image, stage_image, stored_images
from pragmaspec.providers.openstack.inventory import take_inventory
from pragmaspec.providers.openstack.network_parts import list_parts, oldest_by_part
from pragmaspec.providers.openstack.observe import observe
from pragmaspec.providers.openstack.release import clean_allocation, machines_on
from pragmaspec.providers.openstack.servers.console import console, console_log, diagnostics
from pragmaspec.providers.openstack.servers.lifecycle import Servers
from pragmaspec.providers.openstack.site_images import find_site_image, require_site_image, resolve_site_image
from pragmaspec.providers.openstack.storage.kept_volumes import KeptVolumes
from pragmaspec.providers.openstack.storage.server_disks import ServerDisks
from pragmaspec.providers.openstack.storage.volumes import Volumes
from pragmaspec.resources import Allocation, Mark, Node, Outputs, Resource, StagedImage, Volume
from pragmaspec.site import ExternalSite, IdentityKind
from pragmaspec.state_model import State
from pragmaspec.typing import override

WINDOW_S = 60.0
"""Requests in queues of the cloud take effect within this time. Servers are listed as soon as their request is taken."""


class OpenStackProvider(Provider, DuplicateRemoval, NetworkUse, BootCheck, ImageListing, SiteImages, VolumeStorage):
    """Connects on first use."""

    def __init__(self, site: ExternalSite) -> None:
        self._cloud = Cloud(site)
        volumes = Volumes(self._cloud)
        self._kept_volumes = KeptVolumes(self._cloud, volumes)
        self._disks = ServerDisks(self._cloud, volumes, self._kept_volumes)
        self._servers = Servers(self._cloud, site.delivery.user_data_limit or 0, self._disks)

    @property
    @override
    def abilities(self) -> Abilities:
        return Abilities(
            duplicate_removal=self,
            network_use=self,
            boot_check=self,
            image_listing=self,
            site_images=self,
            volume_storage=self,
        )

    @property
    @override
    def identity_kind(self) -> IdentityKind:
        return "ident"  # The address and the MAC of a node's port exist once, so that a second machine cannot have them.

    @property
    @override
    def window_s(self) -> float:
        return WINDOW_S

    @override
    def identity(self) -> SiteIdentity:
        with self._translated("identify the project"):
            return self._cloud.identity()

    @override
    def inventory(self) -> Inventory:
        with self._translated("take the inventory"):
            return take_inventory(self._cloud)

    @override
    def observe(self, lineage: str, recorded: State | None = None) -> Observations:
        with self._translated("list the stack's objects"):
            return observe(self._cloud, lineage, recorded)

    @override
    def allocate(self, wanted: Allocation, mark: Mark) -> Outputs:
        self._servers.forget_networks()
        with self._translated(f"allocate {wanted.cluster}"):
            outputs, parts = allocate(self._cloud, wanted, mark)
            self._servers.learn_networks(mark, parts)
            return outputs

    @override
    def allocate_volume(self, volume: Volume, mark: Mark) -> Outputs:
        with self._translated(f"create or grow volume {volume.name}"):
            return self._kept_volumes.allocate(volume, mark)

    @override
    def grow_disks(self, node: Node, mark: Mark) -> None:
        with self._translated(f"grow the disks of {node.name}"):
            self._disks.grow(node, mark)

    @override
    def attached_machines(self, held: Allocation, keep: Allocation | None, mark: Mark) -> tuple[AttachedMachine, ...]:
        kept = {network.name for network in keep.networks} if keep is not None else set()
        with self._translated(f"list the machines on networks of {held.cluster}"):
            networks, _ = oldest_by_part(list_parts(self._cloud).of(mark).networks)
            return machines_on(self._cloud, [each for name, each in networks.items() if name not in kept])

    @override
    def stage(self, request: StageRequest) -> Outputs:
        with self._translated(f"stage image {request.image.name}"):
            if request.image.site_image:
                require_site_image(self._cloud, request.image)
                return ()
            return stage_image(self._cloud, request)

    @override
    def stored(self) -> tuple[StoredImage, ...]:
        with self._translated("list the stored images"):
            return stored_images(self._cloud)

    @override
    def resolve_image(self, name: str) -> SiteImage:
        with self._translated(f"look up image {name}"):
            return resolve_site_image(self._cloud, name)

    @override
    def find_image(self, image_id: str) -> SiteImage | None:
        with self._translated("look up an image"):
            return find_site_image(self._cloud, image_id)

    @override
    def boot(self, request: BootRequest) -> Outputs:
        with self._translated(f"boot {request.node.name}"):
            return self._servers.boot(request)

    @override
    def check_boot(self, request: BootRequest) -> None:
        with self._translated(f"check whether {request.node.name} can boot"):
            self._servers.check(request)

    @override
    def shutdown(self, node: Node, mark: Mark, grace_s: float) -> None:
        with self._translated(f"shut down {node.name}"):
            self._servers.shutdown(mark, grace_s)

    @override
    def clean(self, resource: Resource, mark: Mark) -> None:
        with self._translated(f"clean {resource.address}"):
            if isinstance(resource, Node):
                self._servers.remove(mark)
            elif isinstance(resource, StagedImage):
                release_image(self._cloud, resource, mark.lineage)
            elif isinstance(resource, Allocation):
                self._clean_allocation(mark)
            else:
                self._kept_volumes.remove(mark)

    @override
    def remove_duplicate(self, site_id: str, mark: Mark) -> None:
        with self._translated("remove a duplicate"):
            if "/image/" in mark.address:
                release_digest(self._cloud, site_id, mark.lineage)
            elif mark.address.endswith("/allocation"):
                self._clean_allocation(mark)
            elif mark.address.split("/")[1:-1] == ["volume"]:
                self._kept_volumes.remove(mark)
            else:
                self._servers.remove_one(site_id, mark)

    @override
    def diagnostics(self, node: Node, mark: Mark) -> Diagnostics:
        return diagnostics(self._cloud, self._servers, mark)

    @override
    def console_log(self, node: Node, mark: Mark) -> bytes:
        with self._translated(f"read the console log of {node.name}"):
            return console_log(self._cloud, self._servers.find(mark))

    @override
    def console(self, node: Node, mark: Mark) -> None:
        with self._translated(f"open the console of {node.name}"):
            console(self._cloud, self._servers.find(mark), node)

    @override
    def close(self) -> None:
        self._cloud.client.close()

    def _clean_allocation(self, mark: Mark) -> None:
        self._servers.forget_networks()
        clean_allocation(self._cloud, mark)
        if self._cloud.settings.anti_affinity != "none":
            self._servers.groups.remove(mark)

    def _translated(self, doing: str) -> AbstractContextManager[None]:
        return translated(f"{doing} at {self._cloud.title}")
