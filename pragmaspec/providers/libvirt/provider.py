"""The libvirt provider: the provider protocol, with libvirt's errors translated."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from threading import Lock

from pragmaspec.planning.drift.attached_machines import AttachedMachine
from pragmaspec.planning.observed import Inventory, Observations, SiteIdentity, SiteImage, StoredImage
from pragmaspec.providers.base import (
    Abilities,
    AutostartControl,
    BootCheck,
    BootRequest,
    Diagnostics,
    ImageListing,
    NetworkUse,
    Offer,
    PausedBoot,
    PeerImages,
    Provider,
    SiteImages,
    StageRequest,
    StorageRefresh,
    VolumeStorage,
)
from pragmaspec.providers.libvirt import volumes
from pragmaspec.providers.libvirt.clean import clean
from pragmaspec.providers.libvirt.domains.boot import boot, check_boot
from pragmaspec.providers.libvirt.domains.console import console
from pragmaspec.providers.libvirt.domains.diagnostics import collect_diagnostics, console_log
from pragmaspec.providers.libvirt.domains.extra_disks import allocate_volume, grow_disks
from pragmaspec.providers.libvirt.domains.power import resume, set_autostart, shutdown
from pragmaspec.providers.libvirt.errors import translated
from pragmaspec.providers.libvirt.host import Host
from pragmaspec.providers.libvirt.images.peer_offer import offer_image
from pragmaspec.providers.libvirt.images.remove import stored_images
from pragmaspec.providers.libvirt.images.site_volumes import find_volume, resolve_volume
from pragmaspec.providers.libvirt.images.stage import stage_image
from pragmaspec.providers.libvirt.inventory import take_inventory
from pragmaspec.providers.libvirt.networks.allocate import allocate, find_attached
from pragmaspec.providers.libvirt.observe import observe
from pragmaspec.resources import Allocation, Mark, Node, Outputs, Resource, StagedImage, Volume
from pragmaspec.site import IdentityKind, LibvirtSite
from pragmaspec.state_model import State
from pragmaspec.typing import override


class LibvirtProvider(
    Provider,
    PeerImages,
    PausedBoot,
    NetworkUse,
    BootCheck,
    AutostartControl,
    ImageListing,
    SiteImages,
    StorageRefresh,
    VolumeStorage,
):
    """One hypervisor host, local or remote, through libvirt-python alone. Connects on first use."""

    def __init__(self, site: LibvirtSite) -> None:
        self._host = Host(site)
        self._staging = Lock()
        """One staging at a time per process, so that a live upload of this stack is never taken for that of a dead run."""

    @property
    @override
    def abilities(self) -> Abilities:
        return Abilities(
            peer_images=self,
            paused_boot=self,
            network_use=self,
            boot_check=self,
            autostart=self,
            image_listing=self,
            site_images=self,
            storage_refresh=self,
            volume_storage=self,
        )

    @property
    @override
    def identity_kind(self) -> IdentityKind:
        return "ident"  # Domains have the UUID that we choose.

    @property
    @override
    def window_s(self) -> float:
        return 0.0  # The daemon answers after the effect, and has completed the calls of a dead client by then too.

    @override
    def identity(self) -> SiteIdentity:
        with self._translated("identify the site"):
            return self._host.identity()

    @override
    def inventory(self) -> Inventory:
        with self._translated("take the inventory"):
            return take_inventory(self._host)

    @override
    def observe(self, lineage: str, recorded: State | None = None) -> Observations:
        with self._translated("list the stack's objects"):
            return observe(self._host, lineage, recorded)

    @override
    def refresh_storage(self) -> None:
        with self._translated("refresh the storage pool"):
            volumes.refresh(self._host)

    @override
    def allocate(self, wanted: Allocation, mark: Mark) -> Outputs:
        with self._translated(f"allocate {wanted.cluster}"):
            return allocate(self._host, wanted, mark)

    @override
    def allocate_volume(self, volume: Volume, mark: Mark) -> Outputs:
        with self._translated(f"allocate volume {volume.name}"):
            return allocate_volume(self._host, volume, mark)

    @override
    def grow_disks(self, node: Node, mark: Mark) -> None:
        with self._translated(f"grow the disks of {node.name}"):
            grow_disks(self._host, node, mark)

    @override
    def attached_machines(self, held: Allocation, keep: Allocation | None, mark: Mark) -> tuple[AttachedMachine, ...]:
        with self._translated(f"list the machines on networks of {held.cluster}"):
            return find_attached(self._host, mark, keep)

    @override
    def stage(self, request: StageRequest) -> Outputs:
        with self._translated(f"stage image {request.image.name}"), self._staging:
            return stage_image(self._host, request)

    @contextmanager
    @override
    def offer(self, image: StagedImage, incoming: Mark | None = None) -> Iterator[Offer]:
        with ExitStack() as stack:
            with self._translated(f"serve image {image.name}"):
                offer = stack.enter_context(offer_image(self._host, image, incoming))
            yield offer

    @override
    def stage_from_peer(self, request: StageRequest, offer: Offer) -> Outputs:
        with self._translated(f"stage image {request.image.name}"), self._staging:
            return stage_image(self._host, request, offer)

    @override
    def stored(self) -> tuple[StoredImage, ...]:
        with self._translated("list the stored images"):
            return stored_images(self._host)

    @override
    def resolve_image(self, name: str) -> SiteImage:
        with self._translated(f"look up image {name}"):
            return resolve_volume(self._host, name)

    @override
    def find_image(self, image_id: str) -> SiteImage | None:
        with self._translated("look up an image"):
            return find_volume(self._host, image_id)

    @override
    def boot(self, request: BootRequest) -> Outputs:
        with self._translated(f"boot {request.node.name}"):
            return boot(self._host, request)

    @override
    def check_boot(self, request: BootRequest) -> None:
        with self._translated(f"check whether {request.node.name} can boot"):
            check_boot(self._host, request)

    @override
    def prefers_paused_boot(self) -> bool:
        with self._translated("determine how guests run"):
            return self._host.virt_type == "qemu"  # Emulated guests use the CPUs that starting the others needs.

    @override
    def resume(self, node: Node, mark: Mark) -> None:
        with self._translated(f"resume {node.name}"):
            resume(self._host, mark)

    @override
    def set_autostart(self, node: Node, mark: Mark) -> None:
        with self._translated(f"set the autostart flag of {node.name}"):
            set_autostart(self._host, node, mark)

    @override
    def shutdown(self, node: Node, mark: Mark, grace_s: float) -> None:
        with self._translated(f"shut down {node.name}"):
            shutdown(self._host, node, mark, grace_s)

    @override
    def clean(self, resource: Resource, mark: Mark) -> None:
        with self._translated(f"clean {resource.address}"):
            clean(self._host, resource, mark)

    @override
    def diagnostics(self, node: Node, mark: Mark) -> Diagnostics:
        return collect_diagnostics(self._host, node, mark)

    @override
    def console_log(self, node: Node, mark: Mark) -> bytes:
        with self._translated(f"read the console log of {node.name}"):
            return console_log(self._host, node, mark)

    @override
    def console(self, node: Node, mark: Mark) -> None:
        with self._translated(f"open the console of {node.name}"):
            console(self._host, node, mark)

    @override
    def close(self) -> None:
        self._host.connection.close()

    def _translated(self, doing: str) -> AbstractContextManager[None]:
        return translated(f"{doing} at {self._host.title}")
